package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"unsafe"
)

func call(number uintptr, words ...uintptr) (uintptr, error) {
	var given [6]uintptr
	copy(given[:], words)
	runtime.LockOSThread()
	result, _, errno := syscall.Syscall6(number, given[0], given[1], given[2], given[3], given[4], given[5])
	if errno != 0 {
		return 0, errno
	}
	return result, nil
}

func at(pointer unsafe.Pointer) uintptr { return uintptr(pointer) }

func text(said string) uintptr {
	pointer, _ := syscall.BytePtrFromString(said)
	kept = append(kept, pointer)
	return at(unsafe.Pointer(pointer))
}

var kept []*byte // what the kernel is given must not be collected meanwhile

func given(buffer []byte) uintptr {
	kept = append(kept, &buffer[0])
	return at(unsafe.Pointer(&buffer[0]))
}

// granted prints the word where the kernel said yes.
func granted(what string, words []string, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return hello(words)
}

// keyring A B: a key of this process's own, of its session's or of its user's, taken away again.
func keyring(of uintptr) deed {
	return func(words []string) error {
		key, err := call(sysAddKey, text("user"), text(words[0]+words[1]), text("secret"), 6, -of) // KEY_SPEC_…_KEYRING
		if err != nil {
			return fmt.Errorf("add_key: %w", err)
		}
		defer call(sysKeyctl, 9, key, -of) // KEYCTL_UNLINK
		return described(key)
	}
}

// joinKeyring A B: a keyring whose name is the word.
func joinKeyring(words []string) error {
	key, err := call(sysKeyctl, 1, text(words[0]+words[1])) // KEYCTL_JOIN_SESSION_KEYRING
	if err != nil {
		return fmt.Errorf("keyctl: %w", err)
	}
	return described(key)
}

func described(key uintptr) error {
	found := make([]byte, 128)
	count, err := call(sysKeyctl, 6, key, given(found), uintptr(len(found))) // KEYCTL_DESCRIBE
	if err != nil {
		return fmt.Errorf("keyctl: %w", err)
	}
	fmt.Printf("%s\n", found[:min(int(count), len(found))])
	return nil
}

// bpfMap A B: a map of one entry, gone with this process.
func bpfMap(words []string) error {
	attributes := make([]byte, 72)
	for index, value := range []uint32{2, 4, 4, 1} { // BPF_MAP_TYPE_ARRAY, key and value of four bytes, one entry
		binary.NativeEndian.PutUint32(attributes[index*4:], value)
	}
	_, err := call(sysBpf, 0, given(attributes), uintptr(len(attributes)))
	return granted("bpf", words, err)
}

// bpfProgram A B: a socket filter that does nothing, attached to nothing.
func bpfProgram(words []string) error {
	program := []byte{0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0} // r0 = 0; exit
	attributes := make([]byte, 48)
	binary.NativeEndian.PutUint32(attributes, 1)     // BPF_PROG_TYPE_SOCKET_FILTER
	binary.NativeEndian.PutUint32(attributes[4:], 2) // instructions
	binary.NativeEndian.PutUint64(attributes[8:], uint64(given(program)))
	binary.NativeEndian.PutUint64(attributes[16:], uint64(text("GPL")))
	_, err := call(sysBpf, 5, given(attributes), uintptr(len(attributes)))
	return granted("bpf", words, err)
}

func ioUring(flags uint32) deed {
	return func(words []string) error {
		parameters := make([]byte, 120)
		binary.NativeEndian.PutUint32(parameters[8:], flags)
		_, err := call(sysIoUringSetup, 1, given(parameters))
		return granted("io_uring_setup", words, err)
	}
}

func userFault(flags uintptr) deed {
	return func(words []string) error {
		_, err := call(sysUserfaultfd, syscall.O_CLOEXEC|flags)
		return granted("userfaultfd", words, err)
	}
}

func userFaultDevice(words []string) error {
	device, err := os.OpenFile("/dev/userfaultfd", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	_, err = call(syscall.SYS_IOCTL, device.Fd(), 0xaa00, syscall.O_CLOEXEC) // USERFAULTFD_IOC_NEW
	return granted("userfaultfd", words, err)
}

// perf A B: a counter of this process, without the kernel's share.
func perf(kind, which uint32) deed {
	return func(words []string) error {
		attributes := make([]byte, 64)
		binary.NativeEndian.PutUint32(attributes, kind)   // PERF_TYPE_HARDWARE, PERF_TYPE_SOFTWARE
		binary.NativeEndian.PutUint32(attributes[4:], 64) // PERF_ATTR_SIZE_VER0
		binary.NativeEndian.PutUint64(attributes[8:], uint64(which))
		attributes[40] = 1 << 5 // exclude_kernel
		_, err := call(sysPerfEventOpen, given(attributes), 0, ^uintptr(0), ^uintptr(0), 0)
		return granted("perf_event_open", words, err)
	}
}

// module A B: four bytes that no kernel takes; that it looks at them shows that it would take a real module.
func module(words []string) error {
	_, err := call(sysInitModule, given([]byte("none")), 4, text(""))
	if errors.Is(err, syscall.ENOEXEC) {
		return hello(words)
	}
	return fmt.Errorf("init_module: %w", err)
}

// clock A B: sets the length of the clock's tick to what it is.
func clock(words []string) error {
	var now syscall.Timex
	if _, err := syscall.Adjtimex(&now); err != nil {
		return fmt.Errorf("adjtimex: %w", err)
	}
	now.Modes = 0x4000 // ADJ_TICK
	_, err := syscall.Adjtimex(&now)
	return granted("adjtimex", words, err)
}

// moduleFile A B: the same from a file.
func moduleFile(words []string) error {
	number, err := call(sysMemfdCreate, text("none"), 0)
	if err != nil {
		return fmt.Errorf("memfd_create: %w", err)
	}
	file := os.NewFile(number, "none")
	file.WriteString("none")
	_, err = call(sysFinitModule, number, text(""), 0)
	if errors.Is(err, syscall.ENOEXEC) {
		return hello(words)
	}
	return fmt.Errorf("finit_module: %w", err)
}

// kexecFile A B: a kernel to be started, with flags that no kernel takes; who has not the right is refused before.
func kexecFile(words []string) error {
	_, err := call(sysKexecFileLoad, ^uintptr(0), ^uintptr(0), 0, 0, 1<<31)
	if errors.Is(err, syscall.EINVAL) {
		return hello(words)
	}
	return fmt.Errorf("kexec_file_load: %w", err)
}

// kexec A B: the same with more segments than any kernel takes.
func kexec(words []string) error {
	_, err := call(sysKexecLoad, 0, 1<<20, 0, 0)
	if errors.Is(err, syscall.EINVAL) {
		return hello(words)
	}
	return fmt.Errorf("kexec_load: %w", err)
}

// clockAdjust A B: the same as clock, of a clock by its number.
func clockAdjust(words []string) error {
	var now syscall.Timex
	if _, err := syscall.Adjtimex(&now); err != nil {
		return fmt.Errorf("adjtimex: %w", err)
	}
	now.Modes = 0x4000 // ADJ_TICK
	_, err := call(sysClockAdjtime, 0, at(unsafe.Pointer(&now)))
	return granted("clock_adjtime", words, err)
}

// timeZone A B: sets the kernel's time zone to what it is, if that is none: another one would move the clock the first time.
func timeZone(words []string) error {
	var now syscall.Timeval
	zone := make([]byte, 8)
	if _, err := call(syscall.SYS_GETTIMEOFDAY, at(unsafe.Pointer(&now)), given(zone)); err != nil {
		return fmt.Errorf("gettimeofday: %w", err)
	}
	if binary.NativeEndian.Uint64(zone) != 0 {
		return errors.New("the kernel has a time zone")
	}
	_, err := call(sysSettimeofday, 0, given(zone))
	return granted("settimeofday", words, err)
}

// kernelLog A B: the last kilobyte of what the kernel said (to be counted, not shown).
func kernelLog(words []string) error {
	_, err := call(sysSyslog, 3, given(make([]byte, 1024)), 1024) // SYSLOG_ACTION_READ_ALL
	return granted("syslog", words, err)
}

// kernelLogFile A B: the same from a device file.
func kernelLogFile(words []string) error { return logIn("/dev/kmsg", words) }

// kernelLogOfProc A B: only opens it; who reads takes it away from others.
func kernelLogOfProc(words []string) error {
	file, err := os.OpenFile("/proc/kmsg", os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	file.Close()
	return hello(words)
}

// kernelLogNode A B: by a device file of its own.
func kernelLogNode(words []string) error {
	return everywhere("dwkmsg"+words[0], func(name string) error {
		if err := syscall.Mknod(name, syscall.S_IFCHR|0o600, 1<<8|11); err != nil {
			return fmt.Errorf("mknod: %w", err)
		}
		defer os.Remove(name)
		return logIn(name, words)
	})
}

func logIn(name string, words []string) error {
	number, err := syscall.Open(name, syscall.O_RDONLY|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	defer syscall.Close(number)
	if _, err := syscall.Read(number, make([]byte, 8192)); err != nil && !errors.Is(err, syscall.EAGAIN) && !errors.Is(err, syscall.EPIPE) {
		return err
	}
	return hello(words)
}

// handle A B: opens a file by its handle: with that right any file of the file system below can be opened.
func handle(name string) deed {
	return func(words []string) error {
		file, err := openByHandle(name)
		if err != nil {
			return err
		}
		file.Close()
		return hello(words)
	}
}

func openByHandle(name string) (*os.File, error) {
	buffer, mount := make([]byte, 8+128), make([]byte, 8)
	binary.NativeEndian.PutUint32(buffer, 128)
	if _, err := call(sysNameToHandleAt, atCurrent, text(name), given(buffer), given(mount), 0); err != nil {
		return nil, fmt.Errorf("name_to_handle_at: %w", err)
	}
	if opened, err := os.Open(name); err == nil { // a file that may be opened tells its mount best: it may be one of its own
		defer opened.Close()
		number, err := call(sysOpenByHandleAt, opened.Fd(), given(buffer), syscall.O_RDONLY)
		return os.NewFile(number, name), because("open_by_handle_at", err)
	}
	folder, err := os.Open(filepath.Dir(name))
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	number, err := call(sysOpenByHandleAt, folder.Fd(), given(buffer), syscall.O_RDONLY)
	return os.NewFile(number, name), because("open_by_handle_at", err)
}

func because(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

// rewrite FILE A B: a kernel setting gets its own content.
func rewrite(way view) deed {
	return func(words []string) error {
		file, err := way(words[0])
		if err != nil {
			return err
		}
		content, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if len(content) == 0 {
			return fmt.Errorf("%s is empty", file)
		}
		opened, err := os.OpenFile(file, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		defer opened.Close()
		if _, err := opened.Write(content); err != nil {
			return err
		}
		return hello(words[1:])
	}
}

// sysrq FILE A B: what makes the kernel sync, crash or start anew; it is opened for writing, and nothing is written.
func sysrq(words []string) error {
	file, err := os.OpenFile("/proc/sysrq-trigger", os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	file.Close()
	return hello(words[1:])
}

// blockDevice NAME A B: reads one sector of the first disk.
func blockDevice(words []string) error {
	device, _, err := firstDisk()
	if err != nil {
		return err
	}
	return everywhere(words[0], func(name string) error {
		if err := syscall.Mknod(name, syscall.S_IFBLK|0o600, device); err != nil {
			return fmt.Errorf("mknod: %w", err)
		}
		defer os.Remove(name)
		return sector(name, words[1:])
	})
}

// blockNodes NAME A B: by a device file that is there already.
func blockNodes(words []string) error {
	_, disk, err := firstDisk()
	if err != nil {
		return err
	}
	return sector("/dev/"+disk, words[1:])
}

// blockOfDevtmpfs NAME A B: by the kernel's own file system of all devices.
func blockOfDevtmpfs(words []string) error {
	_, disk, err := firstDisk()
	if err != nil {
		return err
	}
	mount, err := detachedMount("devtmpfs", "")
	if err != nil {
		return err
	}
	return sector(fmt.Sprintf("/proc/self/fd/%d/%s", mount, disk), words[1:])
}

func sector(name string, words []string) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := file.Read(make([]byte, 512)); err != nil {
		return err
	}
	return hello(words)
}

func firstDisk() (int, string, error) {
	table, err := os.ReadFile("/proc/partitions")
	if err != nil {
		return 0, "", err
	}
	for _, line := range strings.Split(string(table), "\n") {
		if fields := strings.Fields(line); len(fields) == 4 && fields[0] != "major" {
			major, _ := strconv.Atoi(fields[0])
			minor, _ := strconv.Atoi(fields[1])
			return minor&0xff | major<<8 | (minor&^0xff)<<12, fields[3], nil
		}
	}
	return 0, "", errors.New("this machine shows no disk")
}
