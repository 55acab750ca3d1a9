// The attacker's own program, started inside a container as the service's user: what somebody can do who already runs code there.
//
// `helper session` reads orders (one JSON document a line) and starts itself once for each; `helper NAME WORD…` does one thing and
// prints what came of it. Success prints the two halves of a word put together, or a secret that was found; all else is a reason.
// Nothing here can change the host: a right is asked for and not used, see docs/how-to/attacks.md.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
)

const mostOutput = 1 << 18

type order struct {
	Words   []string `json:"words"`
	Seconds float64  `json:"seconds"`
}

type result struct {
	Code   int    `json:"code"`
	Output string `json:"output"`
}

var deeds = map[string]func(words []string) error{
	"hello": hello, "rehearse": rehearse, "neighbour": neighbour, "landlock": landlock, "wait": wait, "run": run, "shell": shell, "interpreter": interpreter, "fetch": fetch,
	"environ": environ, "neighbours": neighbours, "memory-of-service": memoryOfService, "shared-memory": sharedMemory, "read": read,
	"write": write, "write-any": writeAny, "run-at": runAt, "run-any": runAny, "memfd": memfd, "set-uid": setUID, "became": became,
	"raw-socket": rawSocket, "send": send, "ask-name": askName, "get": get, "reverse": reverse, "bind": bind, "unix": unixSocket,
	"mount": mountMemory, "user-namespace": userNamespace, "keyring": keyring, "bpf": bpf, "io-uring": ioUring,
	"userfaultfd": userFault, "perf": perf, "module": module, "clock": clock, "kernel-log": kernelLog, "handle": handle,
	"rewrite": rewrite, "block-device": blockDevice, "walls": walls,
	"processes": processes, "memory": memory, "loops": loops, "disk": disk,
}

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: helper session | NAME WORD…")
		os.Exit(2)
	}
	if os.Args[1] == "session" {
		session()
		return
	}
	deed, known := deeds[os.Args[1]]
	if !known {
		fmt.Printf("no deed %q\n", os.Args[1])
		os.Exit(2)
	}
	if err := deed(os.Args[2:]); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// session obeys until it is told to stop, or who gives the orders is gone; then it ends what it is at.
func session() {
	syscall.RawSyscall(syscall.SYS_PRCTL, 36, 1, 0) // PR_SET_CHILD_SUBREAPER: no dead process is left to the service
	answers := json.NewEncoder(os.Stdout)
	orders := make(chan order)
	go listen(orders)
	for given := range orders {
		answers.Encode(obey(given))
	}
}

func listen(orders chan<- order) {
	defer close(orders)
	defer func() { stopping.Store(true); end(current.Load()) }()
	for lines := bufio.NewReader(os.Stdin); ; {
		line, err := lines.ReadBytes('\n')
		var given order
		if err != nil || json.Unmarshal(line, &given) != nil || len(given.Words) == 0 || given.Words[0] == "stop" {
			return
		}
		orders <- given
	}
}

var (
	current  atomic.Int64 // the process group of the order that is carried out, 0 between two
	stopping atomic.Bool
)

func end(group int64) {
	if group > 0 {
		syscall.Kill(-int(group), syscall.SIGKILL)
	}
}

// obey runs one order in a process group of its own, ended when its time is over or this process is told to stop.
func obey(given order) result {
	var output bytes.Buffer
	command := itself(given.Words...)
	command.Stdout = &limited{&output}
	command.Stderr = command.Stdout
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	command.WaitDelay = 300 * time.Millisecond
	if err := command.Start(); err != nil {
		return result{Code: 126, Output: err.Error()}
	}
	group := int64(command.Process.Pid)
	current.Store(group)
	if stopping.Load() {
		end(group)
	}
	late := time.AfterFunc(time.Duration(given.Seconds*float64(time.Second)), func() { end(group) })
	err := command.Wait()
	late.Stop()
	clear(group)
	current.Store(0)
	code := command.ProcessState.ExitCode()
	if code < 0 {
		fmt.Fprintf(&output, " (ended: %v)", err)
	}
	return result{Code: code, Output: output.String()}
}

// clear ends what an order has left behind, and waits for it.
func clear(group int64) {
	for {
		end(group)
		pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
		if err == syscall.ECHILD {
			return
		}
		if pid <= 0 {
			time.Sleep(2 * time.Millisecond)
		}
	}
}

type limited struct{ to *bytes.Buffer }

func (l *limited) Write(data []byte) (int, error) {
	if room := mostOutput - l.to.Len(); room > 0 {
		l.to.Write(data[:min(room, len(data))])
	}
	return len(data), nil
}

func itself(words ...string) *exec.Cmd { return exec.Command(os.Args[0], words...) }

func hello(words []string) error { fmt.Println(words[0] + words[1]); return nil }

// rehearse A B [DEED]: what a session does for one order, without one: who records the calls of this sees what all others need as
// well; and what that deed does.
func rehearse(words []string) error {
	fmt.Print(obey(order{Words: []string{"hello", words[0], words[1]}, Seconds: 5}).Output)
	for _, deed := range words[2:] {
		obey(order{Words: []string{deed}, Seconds: 5})
	}
	return nil
}

func wait(words []string) error {
	seconds, err := strconv.Atoi(words[0])
	time.Sleep(time.Duration(seconds) * time.Second)
	return err
}
