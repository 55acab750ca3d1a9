package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"regexp"
	"sort"
	"strings"
	"sync"
	"syscall"
	"unsafe"
)

const (
	here        = -100     // AT_FDCWD
	onlyPath    = 0x200000 // O_PATH: such a file is not read
	inRoot      = 0x10     // RESOLVE_IN_ROOT, openat2(2), Linux 5.6
	longestPath = 4096
	mostFiles   = 100_000
	sysOpenat2  = 437
	sysAccessAt = 439 // faccessat2
)

var onFiles = []uint32{syscall.SYS_OPENAT, sysOpenat2, syscall.SYS_EXECVE, sysExecveat, sysOpen}
var onNames = []uint32{sysStat, sysLstat, sysAccess, sysStatAt, sysStatx, syscall.SYS_FACCESSAT, sysAccessAt}

var kernels = regexp.MustCompile(`^/(proc|sys|dev)/`) // no image brings these

// files are what was opened and executed, by the paths in the program's own root, of the regular files that were there; and the
// names that led to nothing (of a file that is to be made: the folder, if there is none).
type files struct {
	guard                    sync.Mutex
	opened, executed, missed map[string]bool
	trouble, untold          string
}

// watch notes, before each call goes on, which file it asks for. So a file counts that is there and that the call is then refused.
func watch(socket string) error {
	listener, _, err := joined(socket)
	if err != nil {
		return err
	}
	seen := &files{opened: map[string]bool{}, executed: map[string]bool{}, missed: map[string]bool{}}
	fmt.Fprintln(os.Stderr, "joined")
	go func() {
		var told notice
		for waiting(listener) && next(listener, &told) {
			seen.note(listener, &told)
			if errno := say(listener, &reply{id: told.id, flag: goOn}); errno == syscall.EINVAL {
				seen.guard.Lock()
				seen.untold = errno.Error()
				seen.guard.Unlock()
				syscall.Close(listener) // whoever asked would wait for ever
				return
			}
		}
	}()
	answering(seen.say)
	return nil
}

func (seen *files) say() {
	seen.guard.Lock()
	defer seen.guard.Unlock()
	json.NewEncoder(os.Stdout).Encode(map[string]any{
		"opened": sorted(seen.opened), "executed": sorted(seen.executed), "missed": sorted(seen.missed),
		"trouble": seen.trouble, "untold": seen.untold,
	})
}

func sorted(paths map[string]bool) []string {
	found := make([]string, 0, len(paths))
	for each := range paths {
		found = append(found, each)
	}
	sort.Strings(found)
	return found
}

func (seen *files) note(listener int, told *notice) {
	folder, at, flags, runs, looks := int32(here), told.words[0], uint64(0), false, false
	switch uint32(told.number) {
	case sysOpen:
		flags = told.words[1]
	case syscall.SYS_OPENAT:
		folder, at, flags = int32(told.words[0]), told.words[1], told.words[2]
	case sysOpenat2:
		folder, at = int32(told.words[0]), told.words[1]
		if how, err := memory(told.process, told.words[2], 8); err == nil && len(how) == 8 {
			flags = *(*uint64)(unsafe.Pointer(&how[0]))
		}
	case syscall.SYS_EXECVE:
		runs = true
	case sysExecveat:
		folder, at, runs = int32(told.words[0]), told.words[1], true
	case sysStat, sysLstat, sysAccess:
		looks = true
	case sysStatAt, sysStatx, syscall.SYS_FACCESSAT, sysAccessAt:
		folder, at, looks = int32(told.words[0]), told.words[1], true
	default:
		return
	}
	if flags&onlyPath != 0 {
		return
	}
	asked, err := memory(told.process, at, longestPath)
	if err == nil {
		name, _, whole := bytes.Cut(asked, []byte{0})
		if !whole {
			return // the kernel refuses it
		}
		err = seen.find(listener, told, folder, string(name), purpose{runs, looks, flags&syscall.O_CREAT != 0})
	}
	if err != nil {
		seen.worry(err)
	}
}

func (seen *files) worry(err error) {
	seen.guard.Lock()
	defer seen.guard.Unlock()
	if seen.trouble == "" {
		seen.trouble = err.Error()
	}
}

// purpose is what a call does with a name: execute the file, only look whether there is one, make it if there is none.
type purpose struct{ runs, looks, makes bool }

// find notes the file that a name leads to, and what is started before it or instead; where there is none, the name.
func (seen *files) find(listener int, told *notice, folder int32, name string, does purpose) error {
	root, err := syscall.Open(fmt.Sprintf("/proc/%d/root", told.process), onlyPath|syscall.O_CLOEXEC, 0)
	if ended(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("the program's files: %w", err)
	}
	defer syscall.Close(root)
	if !strings.HasPrefix(name, "/") {
		around := fmt.Sprintf("/proc/%d/cwd", told.process)
		if folder != here {
			around = fmt.Sprintf("/proc/%d/fd/%d", told.process, folder)
		}
		where, err := os.Readlink(around)
		if err != nil {
			return nil // no such folder: the call fails
		}
		name = path.Join(where, name)
	}
	if id := told.id; !valid(listener, &id) {
		return nil // it has ended meanwhile, and its number may be another's
	}
	for depth := 0; name != "" && depth <= deepest; depth++ {
		found, next, err := followed(root, name, does.runs)
		if errors.Is(err, syscall.ENOENT) {
			if does.makes {
				name = path.Dir(name)
				_, _, err = followed(root, name, false)
			}
			if errors.Is(err, syscall.ENOENT) && !kernels.MatchString(name) {
				seen.miss(path.Clean(name))
			}
			return nil
		}
		if err != nil {
			return err
		}
		if found == "" || kernels.MatchString(found) || does.looks {
			return nil
		}
		seen.add(seen.opened, found)
		if does.runs {
			seen.add(seen.executed, found)
		}
		name = next
	}
	return nil
}

func valid(listener int, id *uint64) bool {
	_, _, errno := syscall.RawSyscall(syscall.SYS_IOCTL, uintptr(listener), stillThere, uintptr(unsafe.Pointer(id)))
	return errno == 0
}

func (seen *files) add(paths map[string]bool, found string) {
	seen.guard.Lock()
	defer seen.guard.Unlock()
	if len(paths) >= mostFiles {
		seen.trouble = "more files were opened than could be recorded"
		return
	}
	paths[found] = true
}

func (seen *files) miss(name string) {
	seen.guard.Lock()
	defer seen.guard.Unlock()
	if len(seen.missed) < mostFiles {
		seen.missed[name] = true
	}
}

// followed gives the path of the regular file that a name leads to, whatever links are on the way, and what is started with it;
// ENOENT where there is nothing at all.
func followed(root int, name string, runs bool) (string, string, error) {
	how := [3]uint64{onlyPath | syscall.O_CLOEXEC, 0, inRoot}
	text, err := syscall.BytePtrFromString(name)
	if err != nil {
		return "", "", nil
	}
	file, _, errno := syscall.Syscall6(sysOpenat2, uintptr(root), uintptr(unsafe.Pointer(text)), uintptr(unsafe.Pointer(&how)), unsafe.Sizeof(how), 0, 0)
	switch errno {
	case 0:
	case syscall.ENOSYS, syscall.EPERM:
		return "", "", fmt.Errorf("the program's files: openat2: %w", errno)
	case syscall.ENOENT, syscall.ENOTDIR:
		return "", "", syscall.ENOENT
	default:
		return "", "", nil
	}
	defer syscall.Close(int(file))
	var kind syscall.Stat_t
	if err := syscall.Fstat(int(file), &kind); err != nil || kind.Mode&syscall.S_IFMT != syscall.S_IFREG {
		return "", "", nil
	}
	mine := fmt.Sprintf("/proc/self/fd/%d", file)
	found, err := os.Readlink(mine)
	if err != nil || !runs {
		return strings.TrimSuffix(found, " (deleted)"), "", nil
	}
	if kind.Mode&0o111 == 0 {
		return "", "", nil
	}
	next := ""
	if opened, err := os.Open(mine); err == nil {
		next, _ = startedBy(opened)
		opened.Close()
	}
	return found, next, nil
}

// ended tells whether it failed because the process is no more.
func ended(err error) bool {
	return errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ESRCH)
}

// memory gives what lies in a process's memory from a place on: so much, or as much as there is.
func memory(process uint32, at uint64, most int) ([]byte, error) {
	opened, err := os.Open(fmt.Sprintf("/proc/%d/mem", process))
	if ended(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("the program's memory: %w", err)
	}
	defer opened.Close()
	found := make([]byte, most)
	count, err := opened.ReadAt(found, int64(at))
	if count == 0 && err != nil {
		return nil, nil
	}
	return found[:count], nil
}
