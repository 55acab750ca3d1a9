// A service with the holes that the pack http looks for, to see that it finds them: never run it where others reach it.
//
// With SAFE set the same routes only repeat what they are given, which is no hole.
package main

import (
	"cmp"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"text/template"
	"time"
)

func main() {
	holes := map[string]func(w io.Writer, given string) error{
		"/file": func(w io.Writer, given string) error {
			content, err := os.ReadFile("/data/" + given)
			w.Write(content)
			return err
		},
		"/fetch": func(w io.Writer, given string) error {
			answer, err := (&http.Client{Timeout: 3 * time.Second}).Get(given)
			if err != nil {
				return err
			}
			defer answer.Body.Close()
			_, err = io.Copy(w, answer.Body)
			return err
		},
		"/render": func(w io.Writer, given string) error {
			parsed, err := template.New("").Parse("Hello " + given)
			if err != nil {
				return err
			}
			return parsed.Execute(w, nil)
		},
		"/ping": func(w io.Writer, given string) error {
			output, err := exec.Command("sh", "-c", "echo "+given).CombinedOutput()
			w.Write(output)
			return err
		},
	}
	// What each takes besides x, which no request of a suite need name.
	names := map[string]string{"/file": "file", "/fetch": "url", "/render": "name", "/ping": "host"}
	safe := os.Getenv("SAFE") != ""
	for path, hole := range holes {
		http.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			given := cmp.Or(r.FormValue("x"), r.FormValue(names[path]))
			if safe {
				fmt.Fprintln(w, html.EscapeString(given))
			} else if err := hole(w, given); err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
			}
		})
	}
	// The routes that only its OpenAPI document names.
	http.HandleFunc("/files/", func(w http.ResponseWriter, r *http.Request) {
		content, err := os.ReadFile("/data/" + strings.TrimPrefix(r.URL.Path, "/files/"))
		if safe || err != nil {
			http.NotFound(w, r)
			return
		}
		w.Write(content)
	})
	http.HandleFunc("/upload", func(w http.ResponseWriter, r *http.Request) {
		if safe {
			r.Body = http.MaxBytesReader(w, r.Body, 1<<20)
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
			return
		}
		if !safe && strings.Contains(string(body[:min(len(body), 64)]), "{{") {
			w.Header().Set("X-Debug", strings.ReplaceAll(strings.Join(os.Environ(), " "), "\n", " "))
			http.Error(w, "unexpected {", http.StatusInternalServerError)
			return
		}
		fmt.Fprintln(w, len(body))
	})
	http.HandleFunc("/openapi.json", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, document) })
	http.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	http.HandleFunc("/debug/env", func(w http.ResponseWriter, r *http.Request) {
		if safe {
			http.NotFound(w, r)
			return
		}
		fmt.Fprintln(w, strings.Join(os.Environ(), "\n"))
	})
	listener, err := net.Listen("tcp", ":8080")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if !safe { // a server of few workers, which waits for whoever is slow
		listener = few{listener, make(chan struct{}, 8)}
	}
	fmt.Fprintln(os.Stderr, http.Serve(listener, outside(http.DefaultServeMux, safe)))
}

// outside serves, without looking, what lies on the way out of its folder.
func outside(inner http.Handler, safe bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if content, err := os.ReadFile("/data" + r.URL.Path); !safe && err == nil && strings.Contains(r.URL.Path, "..") {
			w.Write(content)
			return
		}
		inner.ServeHTTP(w, r)
	})
}

const document = `{"openapi": "3.1.0", "info": {"title": "v", "version": "1"}, "paths": {
  "/files/{name}": {"get": {"parameters": [{"name": "name", "in": "path", "required": true, "schema": {"type": "string"}}]},
    "delete": {"parameters": [{"name": "name", "in": "path", "required": true, "schema": {"type": "string"}}]}},
  "/upload": {"post": {"requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Upload"}}}}}}},
  "components": {"schemas": {"Upload": {"type": "object", "required": ["text"], "properties": {"text": {"type": "string"}}}}}}`

// few takes so many connections at once, and no more before one of them is over.
type few struct {
	net.Listener
	busy chan struct{}
}

func (f few) Accept() (net.Conn, error) {
	f.busy <- struct{}{}
	connection, err := f.Listener.Accept()
	if err != nil {
		<-f.busy
		return nil, err
	}
	return &counted{Conn: connection, done: func() { <-f.busy }}, nil
}

type counted struct {
	net.Conn
	once sync.Once
	done func()
}

func (c *counted) Close() error {
	c.once.Do(c.done)
	return c.Conn.Close()
}
