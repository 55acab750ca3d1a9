package main

import (
	"bytes"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"unsafe"
)

// children keeps apart the processes that somebody waits for (awk) from orphans that nobody does.
//
// In a container without an init we are process 1: whatever a script leaves behind becomes our child, and stays a zombie,
// counted against the pid limit, until we collect it. wait4(-1) would collect awk too and take its exit code away from
// exec.Cmd, so only zombies that are not registered here are collected, by their own pid.
type children struct {
	// mutex is held from fork to registration and during a collection, so that no zombie of ours is taken for an orphan.
	mutex   sync.Mutex
	awaited map[int]bool
}

func newChildren() *children { return &children{awaited: map[int]bool{}} }

// start starts a command and registers it.
func (c *children) start(command *exec.Cmd) error {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if err := command.Start(); err != nil {
		return err
	}
	c.awaited[command.Process.Pid] = true
	return nil
}

// wait waits for a command's end, then ends what is left of its process group.
//
// The group is killed while its leader is still a zombie: until then the kernel cannot give the number to anybody else.
// Errors of Wait are left out on purpose: an exit code is an answer here, and a pipe held open is cut after WaitDelay.
func (c *children) wait(command *exec.Cmd) {
	pid := command.Process.Pid
	awaitExit(pid)
	_ = killGroup(pid)
	_ = command.Wait()
	c.mutex.Lock()
	delete(c.awaited, pid)
	c.mutex.Unlock()
}

// killGroup ends a process group at once, with every process in it.
func killGroup(leader int) error { return syscall.Kill(-leader, syscall.SIGKILL) }

// awaitExit blocks until a child has ended and leaves it as a zombie, waitid(2) with WNOWAIT.
func awaitExit(pid int) {
	const idTypePID = 1
	var info [128]byte // siginfo_t; unread
	for {
		_, _, errno := syscall.Syscall6(syscall.SYS_WAITID, idTypePID, uintptr(pid),
			uintptr(unsafe.Pointer(&info[0])), syscall.WEXITED|syscall.WNOWAIT, 0, 0)
		if errno != syscall.EINTR {
			return
		}
	}
}

// adoptOrphans makes this process the one that orphans below it go to, as process 1 always is, and collects them when they
// end. The function it returns stops that.
func (c *children) adoptOrphans() func() {
	const setChildSubreaper = 36 // prctl(2)
	// Fails only on kernels before 3.4; as process 1 it makes no difference.
	_, _, _ = syscall.Syscall6(syscall.SYS_PRCTL, setChildSubreaper, 1, 0, 0, 0, 0)
	ended := make(chan os.Signal, 1)
	stop := make(chan struct{})
	signal.Notify(ended, syscall.SIGCHLD)
	go func() {
		for {
			select {
			case <-ended:
				c.collect()
			case <-stop:
				return
			}
		}
	}()
	return func() {
		signal.Stop(ended)
		close(stop)
	}
}

// collect takes away the zombies that nobody waits for.
func (c *children) collect() {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	for _, pid := range zombiesOf(os.Getpid()) {
		if !c.awaited[pid] {
			_, _ = syscall.Wait4(pid, nil, syscall.WNOHANG, nil)
		}
	}
}

// zombiesOf lists the ended, uncollected children of a process, from proc(5).
func zombiesOf(parent int) []int {
	entries, _ := filepath.Glob("/proc/[0-9]*/stat")
	var found []int
	for _, entry := range entries {
		content, err := os.ReadFile(entry)
		if err != nil {
			continue // gone meanwhile
		}
		// "pid (name) state ppid …"; the name may hold anything, so count from its last bracket.
		fields := bytes.Fields(content[bytes.LastIndexByte(content, ')')+1:])
		if len(fields) < 2 || string(fields[0]) != "Z" || string(fields[1]) != strconv.Itoa(parent) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(entry))); err == nil {
			found = append(found, pid)
		}
	}
	return found
}
