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

// mountMemory NAME A B
func mountMemory(words []string) error {
	last := errors.New("no folder to mount on")
	for _, folder := range []string{"/tmp", "/dev/shm", "/dev", "/"} {
		target := filepath.Join(folder, words[0])
		if err := os.Mkdir(target, 0o755); err != nil {
			continue
		}
		last = syscall.Mount(words[1]+words[2], target, "tmpfs", 0, "size=4096")
		if last == nil {
			mounts, err := os.ReadFile("/proc/self/mounts")
			os.Stdout.Write(mounts)
			syscall.Unmount(target, syscall.MNT_DETACH)
			os.Remove(target)
			return err
		}
		os.Remove(target)
	}
	if errors.Is(last, syscall.EPERM) || errors.Is(last, syscall.EACCES) {
		return fmt.Errorf("mount: %w", last)
	}
	if err := syscall.Mount(words[1]+words[2], "/proc/self/fdinfo", "tmpfs", 0, "size=4096"); err != nil {
		return fmt.Errorf("mount: %w", err)
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	os.Stdout.Write(mounts)
	return err
}

// userNamespace A B
func userNamespace(words []string) error {
	command := itself("hello", words[0], words[1])
	command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER}
	output, err := command.CombinedOutput()
	fmt.Printf("%s", output)
	return err
}

// keyring A B: a key of this process's own, gone with it.
func keyring(words []string) error {
	secret := []byte(words[0] + words[1])
	process := ^uintptr(1) // KEY_SPEC_PROCESS_KEYRING, -2
	key, err := call(sysAddKey, text("user"), text("helper"), given(secret), uintptr(len(secret)), process)
	if err != nil {
		return fmt.Errorf("add_key: %w", err)
	}
	found := make([]byte, 64)
	count, err := call(sysKeyctl, 11, key, given(found), uintptr(len(found))) // KEYCTL_READ
	if err != nil {
		return fmt.Errorf("keyctl: %w", err)
	}
	fmt.Printf("%s\n", found[:min(int(count), len(found))])
	return nil
}

// bpf A B: a map of one entry, gone with this process.
func bpf(words []string) error {
	attributes := make([]byte, 72)
	for index, value := range []uint32{2, 4, 4, 1} { // BPF_MAP_TYPE_ARRAY, key and value of four bytes, one entry
		binary.NativeEndian.PutUint32(attributes[index*4:], value)
	}
	_, err := call(sysBpf, 0, given(attributes), uintptr(len(attributes)))
	return granted("bpf", words, err)
}

func ioUring(words []string) error {
	_, err := call(sysIoUringSetup, 1, given(make([]byte, 120)))
	return granted("io_uring_setup", words, err)
}

func userFault(words []string) error {
	_, err := call(sysUserfaultfd, syscall.O_CLOEXEC)
	return granted("userfaultfd", words, err)
}

// perf A B: the processor clock of this process, without the kernel's share.
func perf(words []string) error {
	attributes := make([]byte, 64)
	binary.NativeEndian.PutUint32(attributes, 1)      // PERF_TYPE_SOFTWARE
	binary.NativeEndian.PutUint32(attributes[4:], 64) // PERF_ATTR_SIZE_VER0
	attributes[40] = 1 << 5                           // exclude_kernel
	_, err := call(sysPerfEventOpen, given(attributes), 0, ^uintptr(0), ^uintptr(0), 0)
	return granted("perf_event_open", words, err)
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

// kernelLog A B: the last kilobyte of what the kernel said (to be counted, not shown).
func kernelLog(words []string) error {
	_, err := call(sysSyslog, 3, given(make([]byte, 1024)), 1024) // SYSLOG_ACTION_READ_ALL
	return granted("syslog", words, err)
}

// handle A B: opens this program by its handle: with that right any file of the file system below can be opened.
func handle(words []string) error {
	file, err := os.Open(os.Args[0])
	if err != nil {
		return err
	}
	buffer, mount := make([]byte, 8+128), make([]byte, 8)
	binary.NativeEndian.PutUint32(buffer, 128)
	current := ^uintptr(99) // AT_FDCWD, -100
	if _, err := call(sysNameToHandleAt, current, text(os.Args[0]), given(buffer), given(mount), 0); err != nil {
		return fmt.Errorf("name_to_handle_at: %w", err)
	}
	_, err = call(sysOpenByHandleAt, file.Fd(), given(buffer), syscall.O_RDONLY)
	return granted("open_by_handle_at", words, err)
}

// rewrite FILE A B: a kernel setting gets its own content.
func rewrite(words []string) error {
	content, err := os.ReadFile(words[0])
	if err != nil || len(content) == 0 {
		return fmt.Errorf("%s: %w", words[0], err)
	}
	file, err := os.OpenFile(words[0], os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	if _, err := file.Write(content); err != nil {
		return err
	}
	return hello(words[1:])
}

// blockDevice NAME A B: reads one sector of the first disk.
func blockDevice(words []string) error {
	table, err := os.ReadFile("/proc/partitions")
	if err != nil {
		return err
	}
	device := 0
	for _, line := range strings.Split(string(table), "\n") {
		if fields := strings.Fields(line); len(fields) == 4 && fields[0] != "major" && device == 0 {
			major, _ := strconv.Atoi(fields[0])
			minor, _ := strconv.Atoi(fields[1])
			device = minor&0xff | major<<8 | (minor&^0xff)<<12
		}
	}
	if device == 0 {
		return errors.New("this machine shows no disk")
	}
	return everywhere(words[0], func(name string) error {
		if err := syscall.Mknod(name, syscall.S_IFBLK|0o600, device); err != nil {
			return fmt.Errorf("mknod: %w", err)
		}
		defer os.Remove(name)
		file, err := os.Open(name)
		if err != nil {
			return err
		}
		defer file.Close()
		if _, err := file.Read(make([]byte, 512)); err != nil {
			return err
		}
		return hello(words[1:])
	})
}
