package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// running is a service that really listens, with the function that stops it and gives what serve returned.
type running struct {
	address string
	stop    func() error
}

func start(t *testing.T, change func(*settings)) running {
	t.Helper()
	chosen, err := settingsFrom(func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(&chosen)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	stop, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	service := newService(chosen, slog.New(slog.NewJSONHandler(io.Discard, nil)))
	go func() { ended <- service.serve(stop, listener) }()
	var outcome error
	stopped := false
	finish := func() error {
		if !stopped {
			stopped = true
			cancel()
			outcome = <-ended
		}
		return outcome
	}
	t.Cleanup(func() { _ = finish() })
	return running{listener.Addr().String(), finish}
}

type got struct {
	status int
	header http.Header
	fields map[string]any
}

func (r running) post(t *testing.T, script string, args ...string) got {
	t.Helper()
	body, err := json.Marshal(map[string]any{"script": script, "args": args})
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.Post("http://"+r.address+"/api/v1/awk", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var fields map[string]any
	if err := json.NewDecoder(response.Body).Decode(&fields); err != nil {
		t.Fatal(err)
	}
	return got{response.StatusCode, response.Header, fields}
}

func (g got) errorCode() any {
	given, _ := g.fields["error"].(map[string]any)
	return given["code"]
}

// eventually asks again for up to three seconds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if holds() {
			return
		}
	}
	t.Errorf("not within three seconds: %s", what)
}

func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

// pidIn reads the process number that a script wrote.
func pidIn(t *testing.T, file string) int {
	t.Helper()
	pid := 0
	eventually(t, "a process number in "+file, func() bool {
		content, _ := os.ReadFile(file)
		number, err := strconv.Atoi(strings.TrimSpace(string(content)))
		pid = number
		return err == nil
	})
	return pid
}

// waitFor is a piece of shell that waits until a file holds something: the run's end would overtake a background process.
func waitFor(file string) string { return " while ! [ -s " + file + " ]; do sleep 0.01; done" }

func TestTimeLimitKillsGrandchildrenThatHoldThePipes(t *testing.T) {
	service := start(t, func(s *settings) { s.timeout = 300 * time.Millisecond })
	file := filepath.Join(t.TempDir(), "pid")
	started := time.Now()
	answer := service.post(t, `BEGIN { print "first"; fflush(); system("sh -c 'echo $$ > `+file+`; exec sleep 60' | sleep 60") }`)
	if answer.status != http.StatusGatewayTimeout || answer.errorCode() != "timeout" || answer.fields["stdout"] != "first\n" {
		t.Errorf("got %+v", answer)
	}
	if took := time.Since(started); took > 2*time.Second {
		t.Errorf("took %v", took)
	}
	pid := pidIn(t, file)
	eventually(t, "the grandchild is gone and collected", func() bool { return !alive(pid) })
}

func TestWhatAScriptLeavesBehindEndsWithIt(t *testing.T) {
	service := start(t, nil)
	file := filepath.Join(t.TempDir(), "pid")
	answer := service.post(t, `BEGIN { system("sh -c 'echo $$ > `+file+`; exec sleep 60' &`+waitFor(file)+`"); exit 3 }`)
	if answer.status != http.StatusOK || answer.fields["exit_code"] != 3.0 {
		t.Errorf("got %+v", answer)
	}
	pid := pidIn(t, file)
	eventually(t, "the orphan is gone and collected", func() bool { return !alive(pid) })
}

func TestOrphansOfOtherGroupsAreCollected(t *testing.T) {
	service := start(t, nil)
	file := filepath.Join(t.TempDir(), "pid")
	service.post(t, `BEGIN { system("setsid sh -c 'echo $$ > `+file+`; exec sleep 0.3' > /dev/null 2>&1 &`+waitFor(file)+`") }`)
	pid := pidIn(t, file)
	eventually(t, "the escaped process is collected after its end", func() bool { return !alive(pid) })
}

func TestCollectingOrphansStealsNoExitCode(t *testing.T) {
	service := start(t, nil)
	failures := make(chan string, 4)
	for worker := 0; worker < 4; worker++ {
		go func(worker int) {
			wrong := ""
			for round := 0; round < 25; round++ {
				code := (worker*25+round)%100 + 1
				answer := service.post(t, `BEGIN { system("setsid true &"); exit `+strconv.Itoa(code)+` }`)
				if answer.fields["exit_code"] != float64(code) {
					wrong += strconv.Itoa(code) + " "
				}
			}
			failures <- wrong
		}(worker)
	}
	for worker := 0; worker < 4; worker++ {
		if wrong := <-failures; wrong != "" {
			t.Errorf("wrong exit codes for %s", wrong)
		}
	}
	eventually(t, "no zombie is left", func() bool { return len(zombiesOf(os.Getpid())) == 0 })
}

func TestAnEscapedProcessCannotHoldTheAnswerBack(t *testing.T) {
	service := start(t, nil)
	file := filepath.Join(t.TempDir(), "pid")
	started := time.Now()
	answer := service.post(t, `BEGIN { system("setsid sh -c 'echo $$ > `+file+`; exec sleep 3' &`+waitFor(file)+`"); print "done" }`)
	if answer.fields["stdout"] != "done\n" || answer.fields["exit_code"] != 0.0 || time.Since(started) > 2*time.Second {
		t.Errorf("after %v got %+v", time.Since(started), answer)
	}
}

func TestOutputLimit(t *testing.T) {
	service := start(t, func(s *settings) { s.maxOutputBytes = 1000 })
	answer := service.post(t, `BEGIN { for (i = 0; i < 100000; i++) print i; exit 7 }`)
	text, _ := answer.fields["stdout"].(string)
	if len(text) != 1000 || answer.fields["truncated"] != true || answer.fields["exit_code"] != 7.0 {
		t.Errorf("got %d bytes, %v, %v", len(text), answer.fields["truncated"], answer.fields["exit_code"])
	}
}

func TestASignalShowsInTheExitCode(t *testing.T) {
	answer := start(t, nil).post(t, `BEGIN { system("kill -9 $PPID") }`)
	if answer.status != http.StatusOK || answer.fields["exit_code"] != 137.0 {
		t.Errorf("got %+v", answer)
	}
}

func TestBusy(t *testing.T) {
	service := start(t, func(s *settings) { s.concurrency = 1 })
	file := filepath.Join(t.TempDir(), "pid")
	first := make(chan got, 1)
	go func() { first <- service.post(t, `BEGIN { system("echo $$ > `+file+`; sleep 3") }`) }()
	pidIn(t, file)
	answer := service.post(t, `BEGIN {}`)
	if answer.status != http.StatusServiceUnavailable || answer.errorCode() != "busy" || answer.header.Get("Retry-After") != "1" {
		t.Errorf("got %+v", answer)
	}
	if answer := <-first; answer.status != http.StatusOK {
		t.Errorf("the first script: %+v", answer)
	}
}

func TestNoAwk(t *testing.T) {
	service := start(t, func(s *settings) { s.awk = "no-such-awk" })
	if answer := service.post(t, `BEGIN {}`); answer.status != http.StatusServiceUnavailable || answer.errorCode() != "awk_not_found" {
		t.Errorf("got %+v", answer)
	}
	if err := healthcheck(service.address); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("health check: %v", err)
	}
}

func TestHealthcheck(t *testing.T) {
	service := start(t, nil)
	_, port, _ := net.SplitHostPort(service.address)
	for _, listen := range []string{service.address, ":" + port, "0.0.0.0:" + port, "[::]:" + port} {
		if err := healthcheck(listen); err != nil {
			t.Errorf("%s: %v", listen, err)
		}
	}
	if err := service.stop(); err != nil {
		t.Fatal(err)
	}
	if err := healthcheck(service.address); err == nil {
		t.Error("a stopped service is not healthy")
	}
}

func TestShutdownLetsAScriptFinish(t *testing.T) {
	service := start(t, nil)
	file := filepath.Join(t.TempDir(), "pid")
	first := make(chan got, 1)
	go func() { first <- service.post(t, `BEGIN { system("echo $$ > `+file+`; sleep 1"); print "finished" }`) }()
	pidIn(t, file)
	if err := service.stop(); err != nil {
		t.Error(err)
	}
	if answer := <-first; answer.fields["stdout"] != "finished\n" {
		t.Errorf("got %+v", answer)
	}
	if _, err := net.Dial("tcp", service.address); err == nil {
		t.Error("still listening")
	}
}

func TestShutdownKillsAScriptThatDoesNotFinish(t *testing.T) {
	service := start(t, func(s *settings) { s.timeout = time.Minute })
	file := filepath.Join(t.TempDir(), "pid")
	first := make(chan got, 1)
	go func() { first <- service.post(t, `BEGIN { system("echo $$ > `+file+`; sleep 60") }`) }()
	pid := pidIn(t, file)
	started := time.Now()
	if err := service.stop(); err != nil {
		t.Error(err)
	}
	if took := time.Since(started); took > shutdownGrace+2*time.Second {
		t.Errorf("took %v", took)
	}
	if answer := <-first; answer.status != http.StatusServiceUnavailable || answer.errorCode() != "shutting_down" {
		t.Errorf("got %+v", answer)
	}
	eventually(t, "the script is gone", func() bool { return !alive(pid) })
}

func TestDialects(t *testing.T) {
	for text, wanted := range map[string]string{
		"GNU Awk 5.2.1, API 3.2": "gawk", "mawk 1.3.4 20200120": "mawk", "awk version 20220912": "bwk",
		"BusyBox v1.36.1 (Debian) multi-call binary.": "busybox", "original-awk": "bwk", "something": "unknown", "": "unknown",
	} {
		if got := dialect(text); got != wanted {
			t.Errorf("%q: got %s, want %s", text, got, wanted)
		}
	}
}
