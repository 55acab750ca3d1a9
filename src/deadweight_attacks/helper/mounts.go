package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"unsafe"
)

// ownMounts gives this thread a mount namespace of its own: nothing that it mounts is seen by the service.
func ownMounts() error {
	runtime.LockOSThread()
	if err := syscall.Unshare(syscall.CLONE_NEWNS); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("mount: %w", err)
	}
	return nil
}

// onSome tries a mount in folders of its own, and takes it away again; where it may make none, on one of the kernel's.
func onSome(name string, mount func(target string) error, worked func() error) error {
	last := errors.New("no folder to mount on")
	for _, folder := range []string{"/tmp", "/dev/shm", "/dev", "/"} {
		target := filepath.Join(folder, name)
		if err := os.Mkdir(target, 0o755); err != nil {
			continue
		}
		if last = mount(target); last == nil {
			err := worked()
			syscall.Unmount(target, syscall.MNT_DETACH)
			os.Remove(target)
			return err
		}
		os.Remove(target)
	}
	if errors.Is(last, syscall.EPERM) || errors.Is(last, syscall.EACCES) {
		return last
	}
	target := "/proc/self/fdinfo"
	if err := mount(target); err != nil {
		return err
	}
	defer syscall.Unmount(target, syscall.MNT_DETACH)
	return worked()
}

// mountMemory NAME A B: the word is what is said to be mounted.
func mountMemory(words []string) error {
	return onSome(words[0], func(target string) error {
		return because("mount", syscall.Mount(words[1]+words[2], target, "tmpfs", 0, "size=4096"))
	}, func() error {
		mounts, err := os.ReadFile("/proc/self/mounts")
		os.Stdout.Write(mounts)
		return err
	})
}

// bindMount NAME A B: a folder that is there already, once more.
func bindMount(words []string) error {
	return onSome(words[0], func(target string) error {
		return because("mount", syscall.Mount("/proc/self/fdinfo", target, "", syscall.MS_BIND, ""))
	}, func() error { return hello(words[1:]) })
}

// mountByParts NAME A B: the newer calls, which a filter of mount(2) does not see.
func mountByParts(words []string) error {
	mount, err := detachedMount("tmpfs", words[1]+words[2])
	if err != nil {
		return err
	}
	return moved(words, mount)
}

// mountTree NAME A B: the same of a folder that is there already.
func mountTree(words []string) error {
	mount, err := call(sysOpenTree, atCurrent, text("/proc/self/fdinfo"), 1|syscall.O_CLOEXEC) // OPEN_TREE_CLONE
	if err != nil {
		return fmt.Errorf("open_tree: %w", err)
	}
	return moved(words, mount)
}

func moved(words []string, mount uintptr) error {
	return onSome(words[0], func(target string) error {
		_, err := call(sysMoveMount, mount, text(""), atCurrent, text(target), 4) // MOVE_MOUNT_F_EMPTY_PATH
		return because("move_mount", err)
	}, func() error { return hello(words[1:]) })
}

// detachedMount is a file system that is mounted nowhere, and open.
func detachedMount(kind, source string) (uintptr, error) {
	context, err := call(sysFsopen, text(kind), 0)
	if err != nil {
		return 0, fmt.Errorf("fsopen: %w", err)
	}
	if source != "" {
		if _, err := call(sysFsconfig, context, 1, text("source"), text(source), 0); err != nil { // FSCONFIG_SET_STRING
			return 0, fmt.Errorf("fsconfig: %w", err)
		}
	}
	if _, err := call(sysFsconfig, context, 6, 0, 0, 0); err != nil { // FSCONFIG_CMD_CREATE
		return 0, fmt.Errorf("fsconfig: %w", err)
	}
	mount, err := call(sysFsmount, context, 0, 0)
	if err != nil {
		return 0, fmt.Errorf("fsmount: %w", err)
	}
	return mount, nil
}

// inNewProc mounts the kernel's settings anew, without what an engine has put on them.
func inNewProc(file string) (string, error) {
	if err := ownMounts(); err != nil {
		return "", err
	}
	target := "/proc/self/fdinfo"
	if err := syscall.Mount("proc", target, "proc", 0, ""); err != nil {
		return "", fmt.Errorf("mount: %w", err)
	}
	return target + strings.TrimPrefix(file, "/proc"), nil
}

// rewriteDetached FILE A B: the same by the newer calls, mounted nowhere.
func rewriteDetached(words []string) error {
	mount, err := detachedMount("proc", "")
	if err != nil {
		return err
	}
	return rewrite(func(file string) (string, error) {
		return fmt.Sprintf("/proc/self/fd/%d%s", mount, strings.TrimPrefix(file, "/proc")), nil
	})(words)
}

// releaseAgent FILE A B: the program that the kernel starts when a control group of the first version has become empty. A hierarchy
// that is there already is mounted, and the setting gets its own content.
func releaseAgent(words []string) error {
	groups, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return err
	}
	last := errors.New("no control groups of the first version")
	for _, line := range strings.Split(string(groups), "\n") {
		fields := strings.SplitN(line, ":", 3)
		if len(fields) < 3 || fields[1] == "" {
			continue
		}
		if err := ownMounts(); err != nil {
			return err
		}
		target := "/proc/self/fdinfo"
		if err := syscall.Mount("cgroup", target, "cgroup", 0, fields[1]); err != nil {
			last = fmt.Errorf("mount: %w", err)
			continue
		}
		name := target + "/release_agent"
		content, err := os.ReadFile(name)
		if err != nil {
			last = err
			continue
		}
		if last = os.WriteFile(name, content, 0); last == nil {
			return hello(words[1:])
		}
	}
	return last
}

// inUserNamespace has a deed done by a child that is root of a user namespace of its own.
func inUserNamespace(name string) deed {
	return func(words []string) error {
		command := itself(append([]string{name}, words...)...)
		command.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}},
		}
		output, err := command.CombinedOutput()
		os.Stdout.Write(output)
		return err
	}
}

// userNamespace A B: by clone(2), or by unshare(2).
func userNamespace(cloned bool) deed {
	return func(words []string) error {
		command := itself("hello", words[0], words[1])
		command.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWUSER}
		if cloned {
			command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER}
		}
		output, err := command.CombinedOutput()
		fmt.Printf("%s", output)
		return err
	}
}

// userNamespaceByClone3 A B: a filter of calls cannot look at what clone3(2) is asked for.
func userNamespaceByClone3(words []string) error {
	asked := [8]uint64{syscall.CLONE_NEWUSER, 0, 0, 0, uint64(syscall.SIGCHLD)}
	place := at(unsafe.Pointer(&asked))
	runtime.LockOSThread()
	child, _, errno := syscall.RawSyscall(sysClone3, place, unsafe.Sizeof(asked), 0)
	if errno == 0 && child == 0 {
		for {
			syscall.RawSyscall(syscall.SYS_EXIT_GROUP, 0, 0, 0)
		}
	}
	if errno != 0 {
		return fmt.Errorf("clone3: %w", errno)
	}
	syscall.Wait4(int(child), nil, 0, nil)
	return hello(words)
}
