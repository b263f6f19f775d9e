# make demo   a box, its simulated hardware, a broker and a central on this machine
# make test   lint, types and every test; installs what it needs (as root, or through sudo)
# make soak   what takes long: 1,000 SIGKILLs of the real process (KILLS=n), 200 power cuts (CUTS=n), 100 SIGKILLs while
#             evidence goes out over 64 kbit/s (EYE_KILLS=n), 300 seeds of the world (SEEDS=n), an hour under all
#             faults mixed (SOAK_S=n), USB adapters in and out of a box under a real kernel (emulated), every broker of
#             docs/brokers.md, every codec of a camera
# make fuzz   every parser under a coverage-guided fuzzer, FUZZ_S=600 seconds each (one alone: FUZZ=line); what it
#             keeps lies in .cache/fuzz, and the next run goes on from there
# make bench  every figure of docs/performance.md, beside its limit and its peers (half an hour), on a quiet machine
# make install [DESTDIR=/] [WHEELS=dir]   the daemon into /opt/callbox
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
APT := DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get
# what the real-process, browser and systemd tests run against; from gir1.2-gst on: the simulated camera over RTSP
DEBIAN := mosquitto chromium fonts-noto-cjk systemd-container debootstrap fuse3 gcc libc6-dev e2fsprogs iproute2 \
          nftables gir1.2-gst-rtsp-server-1.0 python3-gi gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly ffmpeg age \
          nginx gpsd nut-server
# and what the tests marked soak and the bench do
SOAK := qemu-system-x86 busybox-static kmod rabbitmq-server nats-server libfaketime motion \
        swift-account swift-container swift-object swift-proxy

.PHONY: demo test lint unit soak fuzz bench docs install clean

demo: $(VENV)/ready
	$(BIN)/callbox demo

test: $(VENV)/ready .cache/debian
	$(MAKE) --no-print-directory -j2 lint unit

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

unit: $(VENV)/ready .cache/compiled
	$(BIN)/python -m pytest -n 5 --dist loadfile --no-loadscope-reorder

soak: $(VENV)/ready .cache/debian .cache/soak
	CALLBOX_KILLS=$(or $(KILLS),1000) $(BIN)/python -m pytest -s tests/test_real_kills.py
	CALLBOX_CUTS=$(or $(CUTS),200) $(BIN)/python -m pytest -s tests/test_power.py
	CALLBOX_EVIDENCE_KILLS=$(or $(EYE_KILLS),100) $(BIN)/python -m pytest -s tests/test_evidence_kills.py
	CALLBOX_WORLD_SEEDS=$(or $(SEEDS),300) $(BIN)/python -m pytest -s tests/test_world.py
	CALLBOX_SOAK_S=$(or $(SOAK_S),3600) $(BIN)/python -m pytest -s -m soak tests/test_soak.py
	CALLBOX_FLIPS=400 $(BIN)/python -m pytest tests/test_export_tamper.py
	$(BIN)/python -m pytest -m soak --ignore tests/test_soak.py

fuzz: $(VENV)/ready
	$(BIN)/python -m pip install -q --disable-pip-version-check -e '.[fuzz]'
	PYTHONPATH=tests:. $(BIN)/python tests/fuzz.py $(or $(FUZZ),all) $(or $(FUZZ_S),600)

bench: $(VENV)/ready .cache/debian .cache/soak .cache/thingsboard/ready
	PYTHONPATH=tests:. $(BIN)/python -m bench

docs: $(VENV)/ready
	$(BIN)/python -m agent.schemas

# Debian's python3 comes without ensurepip; it is fetched only where it is missing.
$(VENV)/bin/python:
	$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { $(APT) update -q && $(APT) install -qy python3-venv; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/ready: $(VENV)/bin/python setup.cfg simulators/setup.cfg
	$(BIN)/python -m pip install -q --disable-pip-version-check -e '.[sim,test]' -e ./simulators
	touch $@

# each worker would compile every test for itself; what cannot be collected is said by the run itself
.cache/compiled: $(VENV)/ready
	-$(BIN)/python -m pytest --collect-only -qq >/dev/null
	@mkdir -p .cache
	touch $@

# a peer of the bench; it wants older libraries than we do
.cache/thingsboard/ready: $(VENV)/ready
	$(PYTHON) -m venv .cache/thingsboard
	.cache/thingsboard/bin/python -m pip install -q --disable-pip-version-check 'thingsboard-gateway==3.8.5'
	touch $@

.cache/debian: PACKAGES := $(DEBIAN)
.cache/soak: PACKAGES := $(SOAK)
.cache/debian .cache/soak: Makefile
	@mkdir -p .cache
	dpkg -s $(PACKAGES) >/dev/null 2>&1 || { $(APT) update -q && $(APT) install -qy --no-install-recommends $(PACKAGES); }
	touch $@

include systemd/install.mk

clean:
	rm -rf $(VENV) .cache build dist *.egg-info simulators/*.egg-info
