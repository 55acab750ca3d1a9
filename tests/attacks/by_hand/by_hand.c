/* A second implementation of attacks that the package's own helper tries: nothing is shared with it but the names. It runs in a
 * container beside the service, tries one attack after another by what the manual pages say, and prints a line for each: the name, and
 * 1 where it works. The Python test beside it compares that with the matrix. A right is asked for, and not used. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/io_uring.h>
#include <linux/keyctl.h>
#include <linux/mount.h>
#include <net/ethernet.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

enum { RAN = 87, ENOUGH = 400 };
static const char *SECRET, *HOST;
static int PORT;

/* in_child runs a function in a process of its own, which a signal ends after some seconds: 1 if it gives 1. */
static int in_child(int (*work)(void)) {
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        alarm(8);
        _exit(work() == 1 ? RAN : 0);
    }
    int status = 0;
    return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == RAN;
}

/* runs starts a program and says whether it ended with the code that was asked of it. */
static int runs(const char *path, char *const words[]) {
    pid_t child = fork();
    if (child == 0) {
        int none = open("/dev/null", O_RDWR);
        dup2(none, 0), dup2(none, 1), dup2(none, 2);
        alarm(2);
        execv(path, words);
        _exit(1);
    }
    int status = 0;
    return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == RAN;
}

static int contains(const char *content, size_t size) { return SECRET && memmem(content, size, SECRET, strlen(SECRET)) != NULL; }

static ssize_t slurp(const char *path, char *into, size_t most) {
    int file = open(path, O_RDONLY | O_NONBLOCK);
    if (file < 0) return -1;
    size_t got = 0;
    for (ssize_t count; got < most && (count = read(file, into + got, most - got)) > 0;) got += count;
    close(file);
    return got;
}

/* shell: every program of the image, started under the name of one. */
static int tried;
static int shell_below(const char *folder, int depth) {
    DIR *opened = opendir(folder);
    int found = 0;
    for (struct dirent *entry; opened && !found && tried < ENOUGH && (entry = readdir(opened));) {
        char path[4096];
        struct stat status;
        snprintf(path, sizeof path, "%s/%s", strcmp(folder, "/") ? folder : "", entry->d_name);
        if (entry->d_name[0] == '.' || lstat(path, &status)) continue;
        if (S_ISDIR(status.st_mode) && depth < 4 && strcmp(path, "/proc") && strcmp(path, "/sys") && strcmp(path, "/dev"))
            found = shell_below(path, depth + 1);
        else if (S_ISREG(status.st_mode) && (status.st_mode & 0111) && strncmp(path, "/service/", 9)) {
            tried++;
            char *as_shell[] = {"sh", "-c", "exit 87", NULL};
            found = runs(path, as_shell);
        }
    }
    if (opened) closedir(opened);
    return found;
}
static int shell(void) { return shell_below("/", 0); }

static int neighbours(void) {
    static char content[1 << 16];
    ssize_t count = slurp("/proc/1/environ", content, sizeof content);
    return count > 0 && contains(content, count);
}

/* ptrace: what lies on the stack of process 1, in three ways. */
static unsigned long from, to;
static int find_stack(void) {
    char line[512];
    FILE *maps = fopen("/proc/1/maps", "r");
    int found = 0;
    while (maps && !found && fgets(line, sizeof line, maps))
        found = strstr(line, "[stack]") && sscanf(line, "%lx-%lx", &from, &to) == 2;
    if (maps) fclose(maps);
    if (to - from > 1 << 17) from = to - (1 << 17);
    return found;
}
static int by_vm(void) {
    static char content[1 << 17];
    struct iovec here = {content, to - from}, there = {(void *)from, to - from};
    return process_vm_readv(1, &here, 1, &there, 1, 0) > 0 && contains(content, to - from);
}
static int by_mem(void) {
    static char content[1 << 17];
    int file = open("/proc/1/mem", O_RDONLY);
    return file >= 0 && pread(file, content, to - from, from) > 0 && contains(content, to - from);
}
static int by_trace(void) {
    static long content[1 << 14];
    int status = 0;
    if (ptrace(PTRACE_SEIZE, 1, 0, 0) || ptrace(PTRACE_INTERRUPT, 1, 0, 0) || waitpid(1, &status, __WALL) != 1) return 0;
    for (unsigned long at = 0; at < to - from; at += sizeof(long)) content[at / sizeof(long)] = ptrace(PTRACE_PEEKDATA, 1, from + at, 0);
    ptrace(PTRACE_DETACH, 1, 0, 0);
    return contains((char *)content, to - from);
}
static int memory(void) { return find_stack() && (by_vm() || by_mem() || by_trace()); }

static int readable(const char *path) {
    char content[64];
    return slurp(path, content, sizeof content) > 0;
}
static int passwd(void) { return readable("/etc/passwd"); }
static int shadow(void) { return readable("/etc/shadow"); }

/* Places where something may lie, and what makes them writable again for who may mount. */
static const char *const PLACES[] = {"/tmp", "/var/tmp", "/dev/shm", "/run", "/", "/service", "/dev", NULL};
static int own_mounts(void) { return !unshare(CLONE_NEWNS) && !mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL); }

static int put(const char *folder, const char *name, char *path) {
    sprintf(path, "%s/%s", strcmp(folder, "/") ? folder : "", name);
    int file = open(path, O_CREAT | O_RDWR, 0644);
    if (file < 0) return 0;
    int wrote = write(file, "x", 1) == 1;
    close(file), unlink(path);
    return wrote;
}
static char where[256];
static int write_root(void) { return put("/", "by-hand-root", where); }
static int write_root_again(void) { return own_mounts() && !mount("", "/", NULL, MS_REMOUNT | MS_BIND, NULL) && write_root(); }
static int root(void) { return in_child(write_root) || in_child(write_root_again); }
static int any(void) {
    for (int at = 0; PLACES[at]; at++)
        if (put(PLACES[at], "by-hand-any", where)) return 1;
    return 0;
}

/* A copy of this program in a file. */
static int copied(const char *path, mode_t mode) {
    static char content[1 << 16];
    int source = open("/proc/self/exe", O_RDONLY), file = open(path, O_CREAT | O_TRUNC | O_WRONLY, mode);
    if (source < 0 || file < 0) return 0;
    for (ssize_t count; (count = read(source, content, sizeof content)) > 0;)
        if (write(file, content, count) != count) return 0;
    close(source), close(file);
    return 1;
}
static int run_in(const char *folder) {
    char *words[] = {"by-hand", "ran", NULL};
    sprintf(where, "%s/by-hand-run", strcmp(folder, "/") ? folder : "");
    int ran = copied(where, 0755) && runs(where, words);
    unlink(where);
    return ran;
}
static int run_any(void) {
    for (int at = 0; PLACES[at]; at++)
        if (run_in(PLACES[at])) return 1;
    return 0;
}
static int run_remounted(void) {
    return own_mounts() && ((!mount("", "/tmp", NULL, MS_REMOUNT | MS_BIND, NULL) && run_in("/tmp")) ||
                            (!mount("", "/dev/shm", NULL, MS_REMOUNT | MS_BIND, NULL) && run_in("/dev/shm")));
}
static int run_somewhere(void) { return in_child(run_any) || in_child(run_remounted); }

static int memfd(void) {
    static char content[1 << 16];
    char *words[] = {"by-hand", "ran", NULL}, path[64];
    int source = open("/proc/self/exe", O_RDONLY), file = memfd_create("by-hand", 0);
    for (ssize_t count; file >= 0 && (count = read(source, content, sizeof content)) > 0;)
        if (write(file, content, count) != count) return 0;
    sprintf(path, "/proc/self/fd/%d", file);
    return file >= 0 && runs(path, words);
}

/* set-uid: as root's file, or with the right to become root; started by another user. */
static int as_other(const char *path) {
    pid_t child = fork();
    if (child == 0) {
        if (setgid(65533) || setuid(65533)) _exit(0);
        char *words[] = {"by-hand", "root", NULL};
        execv(path, words);
        _exit(0);
    }
    int status = 0;
    return waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == RAN;
}
static int set_uid(void) {
    struct vfs_cap_data right = {.magic_etc = VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE, .data = {{1 << CAP_SETUID, 0}}};
    int works = 0;
    for (int at = 0; PLACES[at] && !works; at++) {
        sprintf(where, "%s/by-hand-set-uid", strcmp(PLACES[at], "/") ? PLACES[at] : "");
        works = copied(where, 0755) && ((!chmod(where, 04755) && as_other(where)) ||
                                        (!setxattr(where, "security.capability", &right, sizeof right, 0) && as_other(where)));
        unlink(where);
    }
    return works;
}

static int connects(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    int sock = socket(AF_INET, SOCK_STREAM, 0);
    inet_pton(AF_INET, HOST, &address.sin_addr);
    return sock >= 0 && !connect(sock, (struct sockaddr *)&address, sizeof address);
}
static int raw(void) {
    return socket(AF_INET, SOCK_RAW, IPPROTO_ICMP) >= 0 || socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6) >= 0 ||
           socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL)) >= 0;
}

static int mount_old(void) { return !mount("by-hand", "/proc/self/fdinfo", "tmpfs", 0, "size=4096"); }
static int mount_new(void) {
    int context = syscall(SYS_fsopen, "tmpfs", 0);
    return context >= 0 && !syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) && syscall(SYS_fsmount, context, 0, 0) >= 0;
}
static int mount_within(void) { return !unshare(CLONE_NEWUSER | CLONE_NEWNS) && mount_old(); }
static int mounts(void) { return in_child(mount_old) || in_child(mount_new) || in_child(mount_within); }
static int user_namespace(void) { return !unshare(CLONE_NEWUSER); }
static int user_namespace_new(void) {
    uint64_t asked[8] = {CLONE_NEWUSER, 0, 0, 0, SIGCHLD};
    long child = syscall(SYS_clone3, asked, sizeof asked);
    if (child == 0) _exit(0);
    return child > 0;
}
static int namespaces(void) { return in_child(user_namespace) || in_child(user_namespace_new); }

static int keyring(void) {
    return syscall(SYS_add_key, "user", "by-hand", "x", 1, KEY_SPEC_PROCESS_KEYRING) >= 0 ||
           syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, "by-hand") >= 0;
}
static int bpf_works(void) {
    union bpf_attr asked = {.map_type = BPF_MAP_TYPE_HASH, .key_size = 4, .value_size = 4, .max_entries = 1};
    return syscall(SYS_bpf, BPF_MAP_CREATE, &asked, sizeof asked) >= 0;
}
static int ring(void) {
    struct io_uring_params asked = {0};
    return syscall(SYS_io_uring_setup, 2, &asked) >= 0;
}
static int clock_works(void) {
    struct timex now = {0};
    if (adjtimex(&now) < 0) return 0;
    now.modes = ADJ_TICK;
    return adjtimex(&now) >= 0 || clock_adjtime(CLOCK_REALTIME, &now) >= 0;
}
static int kernel_log(void) {
    char line[256];
    return klogctl(3, line, sizeof line) >= 0 || readable("/dev/kmsg") || open("/proc/kmsg", O_RDONLY | O_NONBLOCK) >= 0;
}
static int handle(void) {
    static const char *const files[] = {"/etc/hosts", "/etc/hostname", "/proc/self/exe", NULL};
    char room[sizeof(struct file_handle) + 128];
    for (int at = 0; files[at]; at++) {
        struct file_handle *of = (struct file_handle *)room;
        int mount_id, near = open(files[at], O_RDONLY);
        of->handle_bytes = 128;
        if (near >= 0 && !name_to_handle_at(AT_FDCWD, files[at], of, &mount_id, AT_SYMLINK_FOLLOW) && open_by_handle_at(near, of, O_RDONLY) >= 0)
            return 1;
    }
    return 0;
}
static int rewrite(const char *path) {
    char content[512];
    ssize_t count = slurp(path, content, sizeof content);
    int file = open(path, O_WRONLY);
    return count > 0 && file >= 0 && write(file, content, count) == count;
}
static int pattern(void) { return rewrite("/proc/sys/kernel/core_pattern"); }
static int pattern_again(void) {
    return own_mounts() && !mount("proc", "/proc/self/fdinfo", "proc", 0, NULL) && rewrite("/proc/self/fdinfo/sys/kernel/core_pattern");
}
static int core_pattern(void) { return in_child(pattern) || in_child(pattern_again); }

static const struct {
    const char *name;
    int (*work)(void);
} ATTACKS[] = {
    {"breach-shell", shell},           {"breach-neighbours", neighbours},      {"breach-ptrace", memory},
    {"breach-read-passwd", passwd},    {"breach-read-shadow", shadow},         {"breach-write-root", root},
    {"breach-write-any", any},         {"breach-run-any", run_somewhere},      {"breach-memfd", memfd},
    {"breach-set-uid", set_uid},       {"breach-connect", connects},           {"breach-raw-socket", raw},
    {"breach-mount", mounts},          {"breach-user-namespace", namespaces},  {"breach-keyring", keyring},
    {"breach-bpf", bpf_works},         {"breach-io-uring", ring},              {"breach-clock", clock_works},
    {"breach-kernel-log", kernel_log}, {"breach-handle", handle},              {"breach-core-pattern", core_pattern},
};

static int listens(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    int sock = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(sock, (struct sockaddr *)&address, sizeof address) || listen(sock, 16)) return 1;
    alarm(300);
    for (int caller; (caller = accept(sock, NULL, NULL)) >= 0;) close(caller);
    return 1;
}

int main(int count, char **words) {
    if (count == 2 && !strcmp(words[1], "ran")) return RAN;
    if (count == 2 && !strcmp(words[1], "root")) return !geteuid() || (!setuid(0) && !geteuid()) ? RAN : 1;
    if (count == 3 && !strcmp(words[1], "listen")) return listens(atoi(words[2]));
    if (count != 4) return 2;
    SECRET = words[1], HOST = words[2], PORT = atoi(words[3]);
    for (size_t at = 0; at < sizeof ATTACKS / sizeof *ATTACKS; at++) printf("%s %d\n", ATTACKS[at].name, in_child(ATTACKS[at].work));
    return 0;
}
