// The attacker's own program, started inside a container as the service's user: what somebody can do who already runs code there.
//
// `helper session` reads orders (one JSON document a line) and starts itself once for each of their techniques, until one works;
// `helper NAME[/TECHNIQUE] WORD…` does one thing and prints what came of it. Success prints the two halves of a word put together,
// or a secret that was found; all else is a reason.
// Nothing here can change the host: a right is asked for and not used, see docs/how-to/attacks.md.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

const mostOutput = 1 << 18

type order struct {
	Words      []string `json:"words"`
	Techniques []string `json:"techniques"`
	Seconds    float64  `json:"seconds"`
}

// result is what came of one technique; the last of an order's says so.
type result struct {
	Technique string `json:"technique"`
	Code      int    `json:"code"`
	Output    string `json:"output"`
	Last      bool   `json:"last"`
}

type deed = func(words []string) error

// deeds by name. Those of several techniques have one entry for each, `name/technique`; breach.yaml has their order.
var deeds = map[string]deed{
	"hello": hello, "rehearse": rehearse, "neighbour": neighbour, "landlock": landlock, "wait": wait, "run": run, "walls": walls,
	"became": became,

	"processes/fork": processes, "processes/threads": threads, "memory/anonymous": memory(anonymous), "memory/memfd": memory(inFiles),
	"loops/threads": loops, "loops/processes": loopsApart, "disk/write": disk(written), "disk/fallocate": disk(allocated),

	"shell/name": shellByName, "shell/argv0": shellByArgv0, "shell/applet": shellByApplet,
	"interpreter/name": interpreterByName, "interpreter/argv0": interpreterByArgv0,
	"fetch/name": fetchByName, "fetch/argv0": fetchByArgv0,

	"environ/own": environ, "environ/proc": environOfProc,
	"neighbours/environ": environsOfOthers("environ"), "neighbours/task-environ": environsOfOthers("task/%d/environ"),
	"neighbours/mem": stacksOfOthers(readProcMem), "neighbours/process_vm_readv": stacksOfOthers(readVM),
	"memory-of-service/process_vm_readv": stacksOfOthers(readVM), "memory-of-service/mem": stacksOfOthers(readProcMem),
	"memory-of-service/task-mem": stacksOfOthers(readTaskMem), "memory-of-service/peek-seized": stacksOfOthers(readSeized),
	"memory-of-service/peek-attached": stacksOfOthers(readAttached),
	"shared-memory/proc":              sharedMemory, "shared-memory/shmctl": sharedMemoryByNumber, "shared-memory/posix": sharedMemoryInFiles,

	"read/open": readBy(os.ReadFile), "read/proc-root": readBy(readInRoot), "read/handle": readBy(readByHandle),
	"read/io_uring": readBy(readByRing), "read/backup": readBy(readBackup),
	"write/open": writeBy(plainly), "write/proc-root": writeBy(inRoot), "write/remount": writeBy(remounted),
	"write/mount_setattr": writeBy(changed), "write/user-namespace": inUserNamespace("write/remount"), "write/io_uring": writeByRing,
	"write-any/open": writeAny(plainly), "write-any/proc-root": writeAny(inRoot), "write-any/remount": writeAny(remounted),
	"write-any/mount_setattr": writeAny(changed),
	"run-at/execve":           runBy(plainly, start), "run-at/execveat": runBy(plainly, startByNumber), "run-at/remount": runBy(remounted, start),
	"run-at/mount_setattr": runBy(changed, start), "run-at/user-namespace": inUserNamespace("run-at/remount"),
	"run-any/execve": runAny(plainly, start), "run-any/execveat": runAny(plainly, startByNumber), "run-any/remount": runAny(remounted, start),
	"run-any/mount_setattr": runAny(changed, start), "run-any/user-namespace": inUserNamespace("run-any/remount"),
	"memfd/proc-fd": memfdByPath, "memfd/execveat": memfdByNumber, "memfd/anonymous": anonymousCode, "memfd/self-mem": rewrittenCode,
	"set-uid/chmod": setUID(plainly, byChmod), "set-uid/create": setUID(plainly, byCreation),
	"set-uid/capability": setUID(plainly, byCapability), "set-uid/remount": setUID(remounted, byChmod),

	"send/connect": send(dial), "send/ipv4-mapped": send(dialMapped), "send/fast-open": send(dialFast), "send/mptcp": send(dialMultipath),
	"send/io_uring": send(dialByRing),
	"get/connect":   get(dial, plain), "get/ipv4-mapped": get(dialMapped, plain), "get/fast-open": get(dialFast, plain),
	"get/mptcp": get(dialMultipath, plain), "get/io_uring": get(dialByRing, plain), "get/token": get(dial, withToken),
	"reverse/connect": reverse(dial), "reverse/ipv4-mapped": reverse(dialMapped), "reverse/fast-open": reverse(dialFast),
	"reverse/mptcp": reverse(dialMultipath), "reverse/io_uring": reverse(dialByRing),
	"ask-name/connect": askName(sendConnected), "ask-name/sendto": askName(sendUnconnected), "ask-name/ipv4-mapped": askName(sendMapped),
	"ask-name/raw": askName(sendRaw),
	"bind/ipv4":    bind("tcp4", false), "bind/ipv6": bind("tcp6", false), "bind/mptcp": bind("tcp4", true),
	"unix/connect": unixSocket(""), "unix/proc-root": unixSocket("/proc/1/root"),
	"raw-socket/icmp":         opened(syscall.AF_INET, syscall.SOCK_RAW, syscall.IPPROTO_ICMP),
	"raw-socket/ip":           opened(syscall.AF_INET, syscall.SOCK_RAW, syscall.IPPROTO_RAW),
	"raw-socket/icmp6":        opened(syscall.AF_INET6, syscall.SOCK_RAW, syscall.IPPROTO_ICMPV6),
	"raw-socket/packet":       opened(syscall.AF_PACKET, syscall.SOCK_RAW, 0x0300), // ETH_P_ALL, in the network's order
	"raw-socket/packet-dgram": opened(syscall.AF_PACKET, syscall.SOCK_DGRAM, 0x0300),
	"raw-socket/xdp":          opened(44, syscall.SOCK_RAW, 0), // AF_XDP

	"mount/mount": mountMemory, "mount/bind": bindMount, "mount/fsmount": mountByParts, "mount/open_tree": mountTree,
	"mount/user-namespace": inUserNamespace("mount/mount"),
	"user-namespace/clone": userNamespace(true), "user-namespace/unshare": userNamespace(false), "user-namespace/clone3": userNamespaceByClone3,
	"keyring/process": keyring(2), "keyring/session": keyring(3), "keyring/user": keyring(4), "keyring/join": joinKeyring,
	"bpf/map": bpfMap, "bpf/program": bpfProgram,
	"io-uring/setup": ioUring(0), "io-uring/disabled": ioUring(1 << 6), // IORING_SETUP_R_DISABLED
	"userfaultfd/call": userFault(0), "userfaultfd/user-mode": userFault(1), "userfaultfd/device": userFaultDevice,
	"perf/software": perf(1, 0), "perf/hardware": perf(0, 0), "perf/dummy": perf(1, 9),
	"module/init_module": module, "module/finit_module": moduleFile, "module/kexec_file_load": kexecFile, "module/kexec_load": kexec,
	"clock/adjtimex": clock, "clock/clock_adjtime": clockAdjust, "clock/settimeofday": timeZone,
	"kernel-log/syslog": kernelLog, "kernel-log/kmsg": kernelLogFile, "kernel-log/proc": kernelLogOfProc, "kernel-log/mknod": kernelLogNode,
	"handle/program": handle(os.Args[0]), "handle/hosts": handle("/etc/hosts"), "handle/hostname": handle("/etc/hostname"),
	"handle/resolv.conf": handle("/etc/resolv.conf"), "handle/root": handle("/"),
	"rewrite/write": rewrite(plainly), "rewrite/proc-root": rewrite(inRoot), "rewrite/remount": rewrite(remounted),
	"rewrite/new-proc": rewrite(inNewProc), "rewrite/fsmount": rewriteDetached, "rewrite/sysrq": sysrq, "rewrite/release_agent": releaseAgent,
	"block-device/mknod": blockDevice, "block-device/nodes": blockNodes, "block-device/devtmpfs": blockOfDevtmpfs,
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
	err := deed(os.Args[2:])
	if err != nil {
		fmt.Println(err)
	}
	if errors.Is(err, errSent) {
		os.Exit(codeSent)
	} else if lacking(err) && emulated() {
		os.Exit(codeUntried)
	} else if err != nil {
		os.Exit(1)
	}
}

// errSent says that something is under way of which only the other side can tell whether it arrived.
var errSent = errors.New("sent")

const (
	codeSent    = 3
	codeUntried = 4                     // an emulator lacks what it takes
	aMoment     = 60 * time.Millisecond // for the other side to see it, before the next technique is tried
)

// lacking says whether the kernel does not know a call, or how a program was to be started; so may an emulator that lacks either.
func lacking(err error) bool {
	var starting *os.PathError
	if errors.Is(err, syscall.EINVAL) && errors.As(err, &starting) {
		return starting.Op == "fork/exec"
	}
	return errors.Is(err, syscall.ENOSYS)
}

// emulated says whether the kernel runs a program for another processor than this one's, which runs this one. Such a program shows
// this one as /proc/self/exe, and the kernel's own link under other names.
func emulated() bool {
	return machineOf("/proc/self/exe") != machineOf(fmt.Sprintf("/proc/self/task/%d/exe", os.Getpid()))
}

func machineOf(program string) (machine [2]byte) {
	if file, err := os.Open(program); err == nil {
		defer file.Close()
		file.ReadAt(machine[:], 18) // e_machine of an ELF header
	}
	return machine
}

// session obeys until it is told to stop, or who gives the orders is gone; then it ends what it is at.
func session() {
	syscall.RawSyscall(syscall.SYS_PRCTL, 36, 1, 0) // PR_SET_CHILD_SUBREAPER: no dead process is left to the service
	answers := json.NewEncoder(os.Stdout)
	orders := make(chan order)
	go listen(orders)
	for given := range orders {
		end := time.Now().Add(time.Duration(given.Seconds * float64(time.Second)))
		techniques := given.Techniques
		if len(techniques) == 0 {
			techniques = []string{""}
		}
		for number, technique := range techniques {
			share := time.Until(end).Seconds() / float64(len(techniques)-number) // one that waits leaves time for the next
			tried := obey(order{Words: named(given.Words, technique), Seconds: max(0.05, share)})
			tried.Technique = technique
			tried.Last = number == len(techniques)-1 || tried.Code == 0 || !time.Now().Before(end) || stopping.Load()
			if answers.Encode(tried); tried.Last {
				break
			}
			if tried.Code == codeSent {
				time.Sleep(aMoment)
			}
		}
	}
}

func named(words []string, technique string) []string {
	if technique == "" {
		return words
	}
	return append([]string{words[0] + "/" + technique}, words[1:]...)
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

// clear ends what an order has left behind, and waits for it: programs that left their group too, which have become ours.
func clear(group int64) {
	for {
		end(group)
		pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
		if err == syscall.ECHILD {
			return
		}
		if pid <= 0 {
			for _, child := range children() {
				syscall.Kill(child, syscall.SIGKILL)
			}
			time.Sleep(2 * time.Millisecond)
		}
	}
}

func children() []int {
	found := []int{}
	lists, _ := filepath.Glob("/proc/self/task/*/children")
	for _, list := range lists {
		content, _ := os.ReadFile(list)
		for _, word := range strings.Fields(string(content)) {
			if pid, err := strconv.Atoi(word); err == nil {
				found = append(found, pid)
			}
		}
	}
	return found
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
