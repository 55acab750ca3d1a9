package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"reflect"
	"runtime"
	"syscall"
	"unsafe"
)

// run starts a program of the image.
func run(words []string) error {
	output, err := exec.Command(words[0], words[1:]...).CombinedOutput()
	os.Stdout.Write(output)
	return err
}

// memfd A B: a program that lies on no file system.
func memfd(words []string, started func(file *os.File, words ...string) ([]byte, error)) error {
	content, err := os.ReadFile(os.Args[0])
	if err != nil {
		return err
	}
	number, err := call(sysMemfdCreate, text("a"), 0)
	if err != nil {
		return fmt.Errorf("memfd_create: %w", err)
	}
	file := os.NewFile(number, "a")
	if _, err := file.Write(content); err != nil {
		return err
	}
	output, err := started(file, "hello", words[0], words[1])
	fmt.Printf("%s", output)
	return err
}

func memfdByPath(words []string) error {
	return memfd(words, func(file *os.File, words ...string) ([]byte, error) {
		return start(fmt.Sprintf("/proc/self/fd/%d", file.Fd()), words...)
	})
}

func memfdByNumber(words []string) error { return memfd(words, becoming) }

// becoming has this process become the program in an open file (execveat(2)); it comes back only if it cannot.
func becoming(file *os.File, words ...string) ([]byte, error) {
	arguments := append([]string{os.Args[0]}, words...)
	pointers, err := syscall.SlicePtrFromStrings(arguments)
	if err != nil {
		return nil, err
	}
	none := []*byte{nil}
	_, _, errno := syscall.Syscall6(sysExecveat, file.Fd(), text(""), at(unsafe.Pointer(&pointers[0])), at(unsafe.Pointer(&none[0])), 0x1000, 0)
	return nil, fmt.Errorf("execveat: %w", errno) // AT_EMPTY_PATH
}

// answer is machine code: a function that gives 42.
var answer = map[string][]byte{
	"amd64": {0xb8, 42, 0, 0, 0, 0xc3},                     // mov eax, 42; ret
	"arm64": {0x40, 0x05, 0x80, 0xd2, 0xc0, 3, 0x5f, 0xd6}, // mov x0, 42; ret
}

const wanted = 42

// anonymousCode A B: code that was written to memory of no file, and is then called.
func anonymousCode(words []string) error {
	const may, kind = syscall.PROT_READ | syscall.PROT_WRITE, syscall.MAP_PRIVATE | syscall.MAP_ANON
	page, err := syscall.Mmap(-1, 0, os.Getpagesize(), may|syscall.PROT_EXEC, kind)
	if err == nil {
		copy(page, answer[runtime.GOARCH])
	} else {
		if page, err = syscall.Mmap(-1, 0, os.Getpagesize(), may, kind); err != nil {
			return fmt.Errorf("mmap: %w", err)
		}
		copy(page, answer[runtime.GOARCH])
		if err := syscall.Mprotect(page, syscall.PROT_READ|syscall.PROT_EXEC); err != nil {
			return fmt.Errorf("mprotect: %w", err)
		}
	}
	code := &page[0]
	pointer := &code // a function's value points to the address of its code
	if called := *(*func() int)(unsafe.Pointer(&pointer)); called() != wanted {
		return errors.New("it does not run")
	}
	return hello(words)
}

//go:noinline
func overwritten() int { return len(os.Args) - len(os.Args) }

// rewrittenCode A B: code of this very program, overwritten while it runs through /proc/self/mem, which asks no protection.
func rewrittenCode(words []string) error {
	file, err := os.OpenFile("/proc/self/mem", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := file.WriteAt(answer[runtime.GOARCH], int64(reflect.ValueOf(overwritten).Pointer())); err != nil {
		return err
	}
	if overwritten() != wanted {
		return errors.New("it does not run")
	}
	return hello(words)
}

// setUID NAME A B: leave a program that is root's for whoever starts it, and have somebody else start it.
func setUID(way view, mark func(file string, content []byte) error) deed {
	return func(words []string) error {
		content, err := os.ReadFile(os.Args[0])
		if err != nil {
			return err
		}
		last := errors.New("no folder to write to")
		for _, folder := range places() {
			file, err := way(folder + "/" + words[0])
			if err != nil {
				last = err
				continue
			}
			if err := mark(file, content); err != nil {
				if !errors.Is(err, syscall.EROFS) {
					last = err
				}
				os.Remove(file)
				continue
			}
			command := exec.Command(file, "became", words[1], words[2])
			command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65533, Gid: 65533, NoSetGroups: true}}
			output, err := command.CombinedOutput()
			os.Remove(file)
			if err == nil {
				fmt.Printf("%s: %s", folder, output)
				return nil
			}
			last = fmt.Errorf("%s: %w: %s", folder, err, output)
		}
		return last
	}
}

func byChmod(file string, content []byte) error {
	if err := os.WriteFile(file, content, 0o755); err != nil {
		return err
	}
	return os.Chmod(file, 0o755|os.ModeSetuid)
}

func byCreation(file string, content []byte) error {
	syscall.Umask(0)
	number, err := syscall.Open(file, syscall.O_CREAT|syscall.O_EXCL|syscall.O_WRONLY|syscall.O_CLOEXEC, 0o4755)
	if err != nil {
		return err
	}
	defer syscall.Close(number)
	if _, err := syscall.Write(number, content[:0]); err != nil { // what is written takes the bit away, except from root
		return err
	}
	for len(content) > 0 {
		count, err := syscall.Write(number, content)
		if err != nil {
			return err
		}
		content = content[count:]
	}
	return nil
}

// byCapability gives the program the right to become any user (capabilities(7), VFS_CAP_REVISION_2).
func byCapability(file string, content []byte) error {
	if err := os.WriteFile(file, content, 0o755); err != nil {
		return err
	}
	right := make([]byte, 20)
	right[0], right[3], right[4] = 1, 2, 1<<7 // effective; revision 2; CAP_SETUID is permitted
	return syscall.Setxattr(file, "security.capability", right, 0)
}

func became(words []string) error {
	if os.Geteuid() != 0 {
		syscall.Setuid(0)
	}
	if os.Geteuid() != 0 {
		return fmt.Errorf("still user %d", os.Geteuid())
	}
	return hello(words)
}
