/* A USB camera as V4L2 (linux/videodev2.h) tells of one: LD_PRELOAD stands in for its driver.
 *
 * Whoever opens a path that ends in /video7 gets a device that streams MJPEG of 64 x 64: the file that CAMERA_JPEG
 * names, 20 times a second. With CAMERA_YUYV set it knows that format alone. The buffers are those of a memfd, so mmap
 * is the kernel's own, and select always says that it is readable.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { SIDE = 64, BUFFERS = 8, BYTES = 65536 };

static int camera = -1, queue[BUFFERS], queued;

static int open_it(const char *path) {
    size_t length = strlen(path);
    if (length < 7 || strcmp(path + length - 7, "/video7"))
        return -1;
    camera = memfd_create("video7", 0);
    queued = 0;
    return ftruncate(camera, BUFFERS * BYTES) ? -1 : camera;
}

#define OPEN(name)                                                                                                     \
    int name(const char *path, int flags, ...) {                                                                       \
        va_list rest;                                                                                                  \
        va_start(rest, flags);                                                                                         \
        int mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, int) : 0;                                              \
        va_end(rest);                                                                                                  \
        int fd = open_it(path);                                                                                        \
        return fd >= 0 ? fd : ((int (*)(const char *, int, ...))dlsym(RTLD_NEXT, #name))(path, flags, mode);           \
    }
OPEN(open)
OPEN(open64)

static void format(struct v4l2_format *it) {
    struct v4l2_pix_format *picture = &it->fmt.pix;
    memset(picture, 0, sizeof *picture);
    picture->width = picture->height = SIDE;
    picture->pixelformat = getenv("CAMERA_YUYV") ? V4L2_PIX_FMT_YUYV : V4L2_PIX_FMT_MJPEG;
    picture->field = V4L2_FIELD_NONE;
    picture->bytesperline = getenv("CAMERA_YUYV") ? 2 * SIDE : 0;
    picture->sizeimage = BYTES;
}

static int picture(struct v4l2_buffer *buffer) {
    if (!queued) {
        errno = EAGAIN;
        return -1;
    }
    nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    buffer->index = queue[0];
    memmove(queue, queue + 1, --queued * sizeof *queue);
    static char data[BYTES];
    int file = open(getenv("CAMERA_JPEG"), O_RDONLY);
    ssize_t size = read(file, data, BYTES);
    close(file);
    buffer->bytesused = pwrite(camera, data, size, (off_t)buffer->index * BYTES);
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    buffer->timestamp = (struct timeval){now.tv_sec, now.tv_nsec / 1000};
    buffer->length = BYTES;
    return 0;
}

int ioctl(int fd, unsigned long asked, ...) {
    va_list rest;
    va_start(rest, asked);
    void *told = va_arg(rest, void *);
    va_end(rest);
    if (fd < 0 || fd != camera)
        return ((int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT, "ioctl"))(fd, asked, told);
    struct v4l2_buffer *buffer = told;
    switch ((unsigned)asked) {
    case VIDIOC_QUERYCAP:
        ((struct v4l2_capability *)told)->capabilities = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING;
        return 0;
    case VIDIOC_G_INPUT:
        *(int *)told = 0;
        return 0;
    case VIDIOC_S_INPUT:
    case VIDIOC_ENUMINPUT:
    case VIDIOC_STREAMON:
    case VIDIOC_STREAMOFF:
        return 0;
    case VIDIOC_G_FMT:
    case VIDIOC_S_FMT:
    case VIDIOC_TRY_FMT:
        format(told);
        return 0;
    case VIDIOC_G_PARM:
    case VIDIOC_S_PARM:
        ((struct v4l2_streamparm *)told)->parm.capture.timeperframe = (struct v4l2_fract){1, 20};
        return 0;
    case VIDIOC_REQBUFS:
        return 0;
    case VIDIOC_QUERYBUF:
        buffer->length = BYTES;
        buffer->m.offset = buffer->index * BYTES;
        return 0;
    case VIDIOC_QBUF:
        queue[queued++] = buffer->index;
        return 0;
    case VIDIOC_DQBUF:
        return picture(buffer);
    }
    errno = EINVAL;
    return -1;
}
