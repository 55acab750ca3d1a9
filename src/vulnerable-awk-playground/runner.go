package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// pipeDelay is how long a process that left awk's group may hold its output open after everything else has ended.
const pipeDelay = 500 * time.Millisecond

// finished is what a run gave. exitCode is 128 plus the signal's number where a signal ended awk.
type finished struct {
	stdout    string
	stderr    string
	exitCode  int
	duration  time.Duration
	truncated bool
}

// execute waits for a slot and runs the job within the limits.
func (s *service) execute(ctx context.Context, job job) (*finished, *failure) {
	path, err := s.awk.locate(s.settings.awk)
	if err != nil {
		return nil, errNoAwk()
	}
	if !s.acquire(ctx) {
		return nil, newFailure(http.StatusServiceUnavailable, "busy", "too many scripts are running")
	}
	defer s.release()
	return s.run(ctx, path, job)
}

// run starts awk as the leader of a process group of its own, and ends the whole group with it.
func (s *service) run(ctx context.Context, path string, job job) (*finished, *failure) {
	limited, cancel := context.WithTimeout(ctx, s.settings.timeout)
	defer cancel()
	var stopped atomic.Bool
	stdout, stderr := newCapped(s.settings.maxOutputBytes), newCapped(s.settings.maxOutputBytes)
	awk := exec.CommandContext(limited, path, append(append([]string{}, job.args...), job.script)...)
	awk.Args[0] = s.settings.awk
	awk.Stdin, awk.Stdout, awk.Stderr = strings.NewReader(job.input), stdout, stderr
	awk.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	awk.WaitDelay = pipeDelay
	awk.Cancel = func() error {
		stopped.Store(true)
		return killGroup(awk.Process.Pid)
	}
	started := time.Now()
	if err := s.children.start(awk); err != nil {
		s.log.Error("awk did not start", "error", err.Error())
		return nil, newFailure(http.StatusServiceUnavailable, "start_failed", "awk could not be started")
	}
	s.children.wait(awk)
	done := &finished{
		exitCode:  exitCode(awk),
		duration:  time.Since(started),
		truncated: stdout.truncated() || stderr.truncated(),
	}
	done.stdout, done.stderr = stdout.text(), stderr.text()
	if !stopped.Load() {
		return done, nil
	}
	if errors.Is(limited.Err(), context.DeadlineExceeded) {
		return nil, &failure{http.StatusGatewayTimeout, "timeout",
			fmt.Sprintf("the script ran longer than %d ms and was stopped", s.settings.timeout.Milliseconds()), done}
	}
	return nil, &failure{http.StatusServiceUnavailable, "shutting_down", "the service stopped while the script ran", done}
}

func exitCode(awk *exec.Cmd) int {
	status, ok := awk.ProcessState.Sys().(syscall.WaitStatus)
	if ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return awk.ProcessState.ExitCode()
}
