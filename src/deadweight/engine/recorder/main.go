// The recorder is put into a container and started there as its first process. It needs no right of its own: a process may put a
// filter on itself (seccomp(2)), and read what the filter tells of.
//
// `recorder record SOCKET CALLS PROGRAM WORD…` hands what its filter tells of to whoever stands at SOCKET, and becomes PROGRAM. CALLS
// are numbers, with commas between, of calls that it does not tell of: of what is known to be made a thousand times. `files` instead
// has it tell of the calls alone that open or execute a file, `looks` of those too that ask whether there is one.
// `recorder supervise SOCKET FILE`, outside, counts every system call of that program, and of all that it starts, in FILE.
// `recorder tally SOCKET`, beside it, counts them too: for each line that it reads it writes what FILE would hold.
// `recorder watch SOCKET`, beside it and among its processes, notes which files are opened and executed, and which names lead to none: for
// each line that it reads it writes them as a line of JSON.
// `recorder wait` does nothing until it is told to end: what stands beside is started in its container.
// `recorder ask NUMBER…` prints those of the calls that the container's own filter lets pass; none of them is carried out.
//
// A SOCKET is a path where the other side listens, or an abstract name (`@…`, unix(7)) in the network of the container, where `record`
// itself listens until somebody comes.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
)

func init() {
	runtime.LockOSThread() // a filter is a thread's own; the first thread is the one that becomes the program
	debug.SetGCPercent(-1)
}

func main() {
	words := os.Args[1:]
	var err error
	switch {
	case len(words) > 3 && words[0] == "record":
		err = record(words[1], words[2], words[3:])
	case len(words) == 3 && words[0] == "supervise":
		err = supervise(words[1], words[2])
	case len(words) == 2 && words[0] == "tally":
		err = tallyBeside(words[1])
	case len(words) == 2 && words[0] == "watch":
		err = watch(words[1])
	case len(words) == 1 && words[0] == "wait":
		ended := make(chan os.Signal, 1)
		signal.Notify(ended, syscall.SIGTERM, syscall.SIGINT)
		<-ended
	case len(words) > 0 && words[0] == "ask":
		err = ask(words[1:])
	default:
		err = fmt.Errorf("usage: recorder record SOCKET CALLS PROGRAM WORD… | supervise SOCKET FILE | tally SOCKET | watch SOCKET | wait | ask NUMBER…")
	}
	if err != nil {
		fail(err)
	}
}

// fail ends with a code of its own for want of such a kernel: who started it reads that, not the words (sidecars.py).
func fail(err error) {
	fmt.Fprintln(os.Stderr, "recorder:", err)
	if errors.As(err, new(untold)) {
		os.Exit(98)
	}
	os.Exit(97)
}
