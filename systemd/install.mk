# make wheels [WHEELS=dir]                everything a box needs, as wheels, into dir (build/wheels); 80 MB of it are for
#                                         cameras: a box without one needs no numpy, opencv_python_headless, pyrage and zxing_cpp
# make install [WHEELS=dir] [DESTDIR=dir] the daemon into /opt/callbox; with WHEELS from there and without internet
# make uninstall [DESTDIR=dir]            takes it away; config (/etc/callbox) and journal (/var/lib/callbox) stay
#
# Wheels are for one Python version and machine: collect them on a machine like the box.
# DESTDIR is a whole Debian tree (an image, a container): its own Python makes the venv, in a chroot, so that every path in it is right.
BOX_PYTHON ?= /usr/bin/python3
COLLECTED := $(or $(WHEELS),build/wheels)
CHROOT := $(if $(DESTDIR),chroot $(DESTDIR))
OPT := /opt/callbox
# A venv never moves: its scripts name its path. The new one is built beside the old one, and then `bin` points to it.
NEW := $(OPT)/venv-$(shell date -u +%Y%m%dT%H%M%SZ)
LIB := $(DESTDIR)/usr/local/lib
# What a booting system does by itself; in a container there is no udev to tell.
SET_UP := systemd-sysusers callbox.conf && systemd-tmpfiles --create callbox.conf && systemctl daemon-reload && \
	{ ! systemctl -q is-active systemd-udevd || { udevadm control --reload && udevadm trigger -s tty -s gpio; }; }

.PHONY: wheels install uninstall

# build/lib would bring back modules that were deleted since. pip itself comes along, so that the box needs none.
wheels: $(VENV)/bin/python
	rm -rf build/lib build/bdist.* $(COLLECTED)/callbox-*.whl
	$(BIN)/python -m pip wheel -q -w $(COLLECTED) . pip
	$(BIN)/python -m pip wheel -q -w $(COLLECTED) --only-binary lgpio '.[gpio]' || \
	  echo 'No lgpio wheel for this machine: collecting without it, GPIO pins will need gpiozero'"'"'s other back ends.'
	$(BIN)/python -m pip wheel -q -w $(COLLECTED) --only-binary numpy,opencv-python-headless,pyrage,zxing-cpp '.[camera]' || \
	  echo 'No opencv-python-headless, pyrage or zxing-cpp wheel for this machine: collecting without, cameras will stay offline.'

install: $(if $(WHEELS),,wheels)
	@[ "$$(id -u)" = 0 ] || { echo 'make install writes to $(OPT) and $(LIB): run it as root (sudo make install).'; exit 1; }
	@ls $(COLLECTED)/callbox-*.whl >/dev/null || { echo 'No callbox wheel in WHEELS=$(COLLECTED): run make wheels WHEELS=$(COLLECTED).'; exit 1; }
	install -d $(DESTDIR)$(OPT)
	cp -r $(COLLECTED) $(DESTDIR)$(NEW).wheels
	pip=$$(cd $(COLLECTED) && ls pip-*.whl | tail -1); extras=; has() { ls $(COLLECTED)/$$1-*.whl >/dev/null 2>&1; }; \
	if has lgpio; then extras=gpio; fi; if has opencv_python_headless && has pyrage && has zxing_cpp; then extras=$$extras,camera; fi; \
	$(CHROOT) $(BOX_PYTHON) -m venv --without-pip $(NEW) && \
	$(CHROOT) env -u PIP_FIND_LINKS PYTHONPATH=$(NEW).wheels/$$pip $(NEW)/bin/python -m pip install -q --no-cache-dir --root-user-action=ignore \
	  --no-index --find-links $(NEW).wheels "callbox[$${extras#,}]"; \
	done=$$?; rm -rf $(DESTDIR)$(NEW).wheels; \
	[ $$done = 0 ] || { rm -rf $(DESTDIR)$(NEW); echo 'Nothing was changed: what was installed before still is.'; exit 1; }
	install -D -m 644 config/box.example.yaml $(DESTDIR)/etc/callbox/box.example.yaml
	install -D -m 644 systemd/callbox.service $(LIB)/systemd/system/callbox.service
	install -D -m 644 -t $(LIB)/systemd/system systemd/callbox-poweroff.path systemd/callbox-poweroff.service
	install -D -m 644 systemd/callbox.sysusers $(LIB)/sysusers.d/callbox.conf
	install -D -m 644 systemd/callbox.tmpfiles $(LIB)/tmpfiles.d/callbox.conf
	install -D -m 644 systemd/70-callbox.rules $(LIB)/udev/rules.d/70-callbox.rules
	install -d $(DESTDIR)/usr/local/bin
	ln -sfn $(OPT)/bin/callbox $(DESTDIR)/usr/local/bin/callbox
	cd $(DESTDIR)$(OPT) && before=$$(readlink bin); ln -sfn $(notdir $(NEW))/bin bin.new && mv -T bin.new bin && \
	for venv in venv-*; do \
	  case $$venv in $(notdir $(NEW)) | "$${before%/bin}") ;; *) rm -rf $$venv ;; esac; \
	done # the one before stays: a running daemon may still load from it
	$(if $(DESTDIR),,[ ! -d /run/systemd/system ] || { $(SET_UP); })
	@echo 'Installed. Write /etc/callbox/box.yaml (box.example.yaml lies beside it; callbox check tells what is wrong), then: systemctl enable callbox && systemctl restart callbox'

uninstall:
	$(if $(DESTDIR),,-systemctl disable --now callbox callbox-poweroff.path)
	rm -rf $(DESTDIR)$(OPT) $(DESTDIR)/usr/local/bin/callbox
	rm -f $(addprefix $(LIB)/systemd/system/,callbox.service callbox-poweroff.path callbox-poweroff.service) $(LIB)/sysusers.d/callbox.conf $(LIB)/tmpfiles.d/callbox.conf $(LIB)/udev/rules.d/70-callbox.rules
	$(if $(DESTDIR),,systemctl daemon-reload)
