// A service that depends on its image in fifteen ways, and answers with realistic noise: times, ids, ETags, counters, ports.
package main

import (
	"compress/gzip"
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"mime"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"os/user"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

var count atomic.Int64

func id() string {
	random := make([]byte, 12)
	rand.Read(random)
	return hex.EncodeToString(random)
}

func answer(w http.ResponseWriter, r *http.Request, status int, values map[string]any) {
	values["request"], values["id"], values["pid"] = count.Add(1), id(), os.Getpid()
	values["at"], values["nanoseconds"] = time.Now().Format(time.RFC3339Nano), time.Now().UnixNano()%1000
	values["message"] = fmt.Sprintf("request %s from %s", id(), r.RemoteAddr)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("ETag", `"`+id()+`"`)
	w.Header().Set("X-Request-Id", id())
	http.SetCookie(w, &http.Cookie{Name: "session", Value: id(), Path: "/"})
	var out io.Writer = w
	if os.Getenv("GZIP") != "no" && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		w.Header().Set("Content-Encoding", "gzip")
		packed := gzip.NewWriter(w)
		defer packed.Close()
		out = packed
	}
	w.WriteHeader(status)
	json.NewEncoder(out).Encode(values)
}

type found func() (map[string]any, error)

func serve(path string, look found) {
	http.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
		values, err := look()
		if err != nil {
			log.Printf("error: %s: %v", r.URL.Path, err)
			answer(w, r, 500, map[string]any{"error": err.Error()})
			return
		}
		answer(w, r, 200, values)
	})
}

// ran runs a program of the C library of the image it is in.
func ran(words ...string) found {
	return func() (map[string]any, error) {
		output, err := exec.Command("/opt/real", words...).CombinedOutput()
		if err != nil {
			return nil, fmt.Errorf("%s%w", output, err)
		}
		return map[string]any{"output": string(output)}, nil
	}
}

func routes() {
	serve("/healthz", func() (map[string]any, error) { return map[string]any{"status": "ok"}, nil })
	serve("/time", func() (map[string]any, error) {
		place, err := time.LoadLocation("Europe/Berlin")
		if err != nil {
			place = time.UTC
		}
		return map[string]any{"opens": time.Unix(1751364000, 0).In(place).Format("15:04 MST")}, nil
	})
	serve("/authorities", func() (map[string]any, error) {
		pool, err := x509.SystemCertPool()
		if err != nil || len(pool.Subjects()) == 0 {
			return nil, fmt.Errorf("x509: certificate signed by unknown authority")
		}
		return map[string]any{"authorities": len(pool.Subjects())}, nil
	})
	serve("/user", func() (map[string]any, error) {
		found, err := user.LookupId(strconv.Itoa(os.Getuid()))
		if err != nil {
			return map[string]any{"name": nil}, nil
		}
		return map[string]any{"name": found.Username}, nil
	})
	serve("/names", ran("user"))
	serve("/linked", ran("locale"))
	serve("/letters", ran("locale"))
	http.HandleFunc("/picture", func(w http.ResponseWriter, r *http.Request) {
		picture, err := exec.Command("/opt/real", "picture").Output()
		if err != nil {
			answer(w, r, 500, map[string]any{"error": string(picture)})
			return
		}
		count.Add(1)
		w.Header().Set("Content-Type", "image/webp")
		w.Write(picture)
	})
	serve("/report", ran("load", "libm.so.6"))
	serve("/data", func() (map[string]any, error) { return map[string]any{"stored": true}, os.WriteFile("/data/file", []byte("x"), 0o600) })
	serve("/upload", func() (map[string]any, error) {
		file, err := os.CreateTemp("", "upload")
		if err != nil {
			return nil, fmt.Errorf("cannot store the upload")
		}
		defer os.Remove(file.Name())
		return map[string]any{"stored": true}, file.Close()
	})
	http.HandleFunc("/plan", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", mime.TypeByExtension(".plan"))
		io.WriteString(w, "a plan")
	})
	http.HandleFunc("/page", func(w http.ResponseWriter, r *http.Request) {
		if os.Getenv("EMPTY") == "" {
			fmt.Fprintf(w, "<html><link href=/a.css><p>Hello, it is %s<input value=%s></html>", time.Now().UTC(), id())
		}
	})
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		page, err := os.ReadFile("/srv/templates/404.html")
		if err != nil {
			http.Error(w, "not found", 404)
			return
		}
		w.WriteHeader(404)
		w.Write(page)
	})
}

func main() {
	if os.Getenv("WRAPPED") != "" { // as a shell that is process 1 and hands no signal on
		os.Unsetenv("WRAPPED")
		signal.Ignore(syscall.SIGTERM)
		child := exec.Command("/proc/self/exe")
		child.Stdout, child.Stderr = os.Stdout, os.Stderr
		fmt.Println(child.Run())
		return
	}
	routes()
	server := &http.Server{Addr: ":8080"}
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM)
	go server.ListenAndServe()
	log.Printf("no error yet, process %d", os.Getpid())
	<-ended
	server.Shutdown(context.Background())
}
