// A service with what a list of requests meets: a document, links, state, and routes that never answer the same.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

var (
	lock  sync.Mutex
	items = map[int]string{}

	asked, made atomic.Int32
)

func main() {
	page := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, text) }
	}
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
	}
	http.HandleFunc("GET /{$}", page(`<html><a href="/about">a</a><a href="http://elsewhere.example/">e</a><a href="/logout">l</a>
<img src="style.css?v=1"><a href="/missing"></a><form action="/search"><input name="q" value="x"><input name="p" type="password"></form>`))
	http.HandleFunc("GET /healthz", page("ok"))
	http.HandleFunc("GET /about", page("<html>about"))
	http.HandleFunc("GET /style.css", page("a {}"))
	http.HandleFunc("GET /search", page("found"))
	http.HandleFunc("GET /login", status(401))
	http.HandleFunc("GET /broken", status(500))
	http.HandleFunc("GET /limited", status(429))
	http.HandleFunc("GET /private/{name}", status(401))
	http.HandleFunc("POST /session", page(`{"token": "of the day"}`))
	http.HandleFunc("GET /quota", func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) > 2 {
			w.WriteHeader(429)
		}
	})
	http.HandleFunc("POST /once", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(map[bool]int{true: 201, false: 409}[made.Add(1) == 1])
	})
	http.HandleFunc("PUT /notes", func(w http.ResponseWriter, _ *http.Request) {
		if os.WriteFile("/tmp/notes", []byte("x"), 0o600) != nil {
			w.WriteHeader(500)
		}
	})
	http.HandleFunc("GET /openapi.json", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, "/openapi.json") })
	http.HandleFunc("GET /random", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"kind": "die", "eyes": %d}`, rand.Int64())
	})
	http.HandleFunc("GET /fickle", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(200 + int(time.Now().UnixNano()/1000)%90) })
	http.HandleFunc("GET /stream", func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			fmt.Fprintln(w, "tick")
			w.(http.Flusher).Flush()
			time.Sleep(50 * time.Millisecond)
		}
	})
	http.HandleFunc("POST /shutdown", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(202)
		time.AfterFunc(50*time.Millisecond, func() { os.Exit(0) })
	})
	http.HandleFunc("POST /items", func(w http.ResponseWriter, r *http.Request) {
		var given struct{ Name string }
		if json.NewDecoder(r.Body).Decode(&given) != nil {
			w.WriteHeader(422)
			return
		}
		lock.Lock()
		defer lock.Unlock()
		id := 1000 + rand.IntN(1e9)
		items[id], items[77] = given.Name, given.Name // 77 is the newest
		w.WriteHeader(201)
		json.NewEncoder(w).Encode(map[string]any{"id": id})
	})
	http.HandleFunc("GET /items/{id}", func(w http.ResponseWriter, r *http.Request) {
		lock.Lock()
		defer lock.Unlock()
		id, _ := strconv.Atoi(r.PathValue("id"))
		if name, known := items[id]; known {
			json.NewEncoder(w).Encode(map[string]any{"name": name})
			return
		}
		w.WriteHeader(404)
	})
	http.ListenAndServe(":8080", nil)
}
