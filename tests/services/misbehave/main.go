// A service that misbehaves as MODE says, for tests of what runs and judges containers:
//
//	good          healthy, ends on SIGTERM with exit code 0
//	never-healthy /healthz answers 503 for ever
//	deaf          never listens
//	dies          healthy, then exits with code 3 after DIES_AFTER
//	dies-at-once  writes two lines and exits with code 4
//	panics        ends with a panic of Go
//	speechless    listens, and ends every connection without a word
//	wants-root    ends with code 1 unless it is root
//	changes-user  ends with code 1 unless it can become another user
//	wants-disk    ends with code 1 unless it can write to /
//	late          listens at once, and answers the first request after more than five seconds
//	stubborn      ignores SIGTERM
//	ugly          ends on SIGTERM with exit code 5
//	hungry        healthy; GET /eat takes memory until it is stopped
//	tls           speaks HTTP over TLS, with a certificate that nobody trusts
//	writer        healthy only where it can write to /
//	first         ends with code 1 unless it is process 1
//	lonely        ends with code 1 as soon as it sees another process
//
// LISTEN is where it listens (:8080), ALSO where else.
//
// GET /join?a=A&b=B answers AB; /given answers its environment and arguments; /dial?address=A says whether a connection leads there,
// /address whether it has one that is not its own machine's; /last-words answers, and ends the service a moment later; /fear-root ends it at once where it is
// root; after /freeze nothing is answered any more. /as-root?a=A&b=B answers AB to root, else it is busy. /hold?mib=N holds memory
// for a while; /alone is busy while it is asked by another; /children starts many programs.
//
// Where AWK_NEVER is set, POST /api/v1/awk knows one thing of AWK: print "A" "B" gives AB. It is busy for scripts that match AWK_NEVER,
// and, where it is not root, for those that match AWK_ROOT_ONLY (both are patterns).
//
//	nc HOST PORT  no service at all: copies stdin to a connection and the connection to stdout
package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

var (
	eaten         [][]byte
	frozen, asked sync.Mutex
)

func main() {
	if filepath.Base(os.Args[0]) == "nc" {
		netcat(os.Args[1:])
		return
	}
	mode := os.Getenv("MODE")
	fmt.Println("misbehave: mode", mode)
	if mode == "dies-at-once" {
		fmt.Fprintln(os.Stderr, "misbehave: cannot open /etc/absent.conf")
		os.Exit(4)
	}
	if mode == "panics" {
		fall(9)
	}
	if mode == "wants-root" && os.Getuid() != 0 {
		fmt.Fprintln(os.Stderr, "misbehave: must be run as root")
		os.Exit(1)
	}
	if mode == "changes-user" && (syscall.Setgid(1000) != nil || syscall.Setuid(1000) != nil) {
		fmt.Fprintln(os.Stderr, "misbehave: cannot become another user")
		os.Exit(1)
	}
	if mode == "wants-disk" && os.WriteFile("/state", nil, 0o600) != nil {
		fmt.Fprintln(os.Stderr, "misbehave: nowhere to write")
		os.Exit(1)
	}
	if mode == "first" && os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "misbehave: can only run as process 1")
		os.Exit(1)
	}
	if mode == "lonely" {
		go mind()
	}
	terminate := make(chan os.Signal, 1)
	if mode == "stubborn" {
		signal.Ignore(syscall.SIGTERM)
	} else {
		signal.Notify(terminate, syscall.SIGTERM)
	}
	if mode == "speechless" {
		go hangUp()
	} else if mode != "deaf" {
		go serve(mode)
	}
	var dies <-chan time.Time
	if mode == "dies" || os.Getenv("DIES_AFTER") != "" {
		after, err := time.ParseDuration(os.Getenv("DIES_AFTER"))
		if err != nil {
			after = time.Second
		}
		dies = time.After(after)
	}
	select {
	case <-dies:
		fmt.Fprintln(os.Stderr, "misbehave: giving up")
		if code, err := strconv.Atoi(os.Getenv("DIES_WITH")); err == nil {
			os.Exit(code)
		}
		os.Exit(3)
	case <-terminate:
		if mode == "ugly" {
			os.Exit(5)
		}
	}
}

func fall(deep int) {
	if deep > 0 {
		fall(deep - 1)
	}
	var absent map[string]int
	absent["x"] = deep
}

// mind ends the service where another process is seen.
func mind() {
	for ; ; time.Sleep(10 * time.Millisecond) {
		if seen, _ := filepath.Glob("/proc/[0-9]*"); len(seen) > 1 {
			fmt.Fprintln(os.Stderr, "misbehave: not alone")
			os.Exit(1)
		}
	}
}

func hangUp() {
	listener, err := net.Listen("tcp", ":8080")
	for err == nil {
		var connection net.Conn
		if connection, err = listener.Accept(); err == nil {
			connection.Close()
		}
	}
}

func serve(mode string) {
	http.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) {
		if mode == "never-healthy" {
			http.Error(w, "still thinking", http.StatusServiceUnavailable)
			return
		}
		if mode == "writer" && os.WriteFile("/state", nil, 0o600) != nil {
			http.Error(w, "nowhere to write", http.StatusServiceUnavailable)
			return
		}
		frozen.Lock()
		frozen.Unlock()
		fmt.Fprintln(w, "ok")
	})
	http.HandleFunc("/join", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, r.URL.Query().Get("a")+r.URL.Query().Get("b"))
	})
	http.HandleFunc("/given", func(w http.ResponseWriter, _ *http.Request) {
		env := map[string]string{}
		for _, each := range os.Environ() {
			name, value, _ := strings.Cut(each, "=")
			env[name] = value
		}
		json.NewEncoder(w).Encode(map[string]any{"env": env, "args": os.Args[1:]})
	})
	http.HandleFunc("/dial", func(w http.ResponseWriter, r *http.Request) {
		connection, err := net.DialTimeout("tcp", r.URL.Query().Get("address"), time.Second)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		connection.Close()
	})
	http.HandleFunc("/address", func(w http.ResponseWriter, _ *http.Request) {
		addresses, _ := net.InterfaceAddrs()
		for _, each := range addresses {
			if found, ok := each.(*net.IPNet); ok && !found.IP.IsLoopback() {
				return
			}
		}
		http.Error(w, "no address", http.StatusServiceUnavailable)
	})
	http.HandleFunc("/as-root", func(w http.ResponseWriter, r *http.Request) {
		if os.Getuid() != 0 {
			http.Error(w, "busy", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, r.URL.Query().Get("a")+r.URL.Query().Get("b"))
	})
	if never := os.Getenv("AWK_NEVER"); never != "" {
		http.HandleFunc("/api/v1/awk", awk(regexp.MustCompile(never), regexp.MustCompile(os.Getenv("AWK_ROOT_ONLY"))))
	}
	http.HandleFunc("/last-words", func(w http.ResponseWriter, _ *http.Request) {
		time.AfterFunc(50*time.Millisecond, func() { os.Exit(3) })
	})
	http.HandleFunc("/fear-root", func(w http.ResponseWriter, _ *http.Request) {
		if os.Getuid() == 0 {
			os.Exit(3)
		}
	})
	http.HandleFunc("/hold", func(_ http.ResponseWriter, r *http.Request) {
		mib, _ := strconv.Atoi(r.URL.Query().Get("mib"))
		held, _ := syscall.Mmap(-1, 0, mib<<20, syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE|syscall.MAP_POPULATE)
		time.Sleep(200 * time.Millisecond)
		syscall.Munmap(held)
	})
	http.HandleFunc("/alone", func(w http.ResponseWriter, _ *http.Request) {
		if !asked.TryLock() {
			http.Error(w, "busy", http.StatusServiceUnavailable)
			return
		}
		time.Sleep(100 * time.Millisecond)
		asked.Unlock()
	})
	http.HandleFunc("/children", func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < 16; i++ {
			child := exec.Command("/proc/self/exe")
			child.Env = []string{"MODE=deaf"}
			if child.Start() != nil {
				http.Error(w, "no child", http.StatusInternalServerError)
				return
			}
			defer child.Wait()
			defer child.Process.Kill()
		}
	})
	http.HandleFunc("/freeze", func(w http.ResponseWriter, _ *http.Request) {
		frozen.Lock()
		frozen.Lock()
	})
	http.HandleFunc("/json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"name": "zoë", "count": 3, "ratio": 0.5, "on": true, "list": [1, {"a": 2, "b": 3}], "none": null}`)
	})
	http.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		json.NewEncoder(w).Encode(map[string]any{
			"method": r.Method, "type": r.Header.Get("Content-Type"), "length": len(body),
			"head": string(body[:min(len(body), 80)]), "query": r.URL.RawQuery, "lines": strings.Count(string(body), "\n"),
		})
	})
	http.HandleFunc("/write", func(w http.ResponseWriter, r *http.Request) {
		path := strings.ReplaceAll(r.URL.Query().Get("path"), "RANDOM", strconv.FormatInt(time.Now().UnixNano(), 36))
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		if err == nil {
			err = os.WriteFile(path, []byte("kept"), 0o644)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	http.HandleFunc("/eat", func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < 4096; i++ {
			block := make([]byte, 1<<20)
			for j := range block {
				block[j] = byte(j)
			}
			eaten = append(eaten, block)
		}
	})
	if also := os.Getenv("ALSO"); also != "" {
		go http.ListenAndServe(also, nil)
	}
	var handler http.Handler
	if mode == "late" {
		first := sync.OnceFunc(func() { time.Sleep(5500 * time.Millisecond) })
		handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			first()
			http.DefaultServeMux.ServeHTTP(w, r)
		})
	}
	address := cmp.Or(os.Getenv("LISTEN"), ":8080")
	if mode == "tls" {
		server := httptest.NewUnstartedServer(http.DefaultServeMux)
		server.Listener.Close()
		server.Listener, _ = net.Listen("tcp", address)
		server.StartTLS()
		return
	}
	if err := http.ListenAndServe(address, handler); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func awk(never, rootOnly *regexp.Regexp) http.HandlerFunc {
	printed := regexp.MustCompile(`print "([a-z]+)" "([a-z]+)"`)
	return func(w http.ResponseWriter, r *http.Request) {
		script, _ := io.ReadAll(r.Body)
		script = []byte(strings.ReplaceAll(string(script), `\"`, `"`))
		if never.Match(script) || (os.Getuid() != 0 && rootOnly.Match(script)) {
			http.Error(w, "busy", http.StatusServiceUnavailable)
			return
		}
		for _, pair := range printed.FindAllSubmatch(script, 1) {
			fmt.Fprintf(w, "%s%s\n", pair[1], pair[2])
		}
	}
}

func netcat(args []string) {
	connection, err := net.Dial("tcp", net.JoinHostPort(args[0], args[1]))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	go io.Copy(connection, os.Stdin)
	io.Copy(os.Stdout, connection)
}
