// A service with the holes that the pack http looks for, to see that it finds them: never run it where others reach it.
//
// With SAFE set the same routes only repeat what they are given, which is no hole.
package main

import (
	"fmt"
	"html"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
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
			answer, err := (&http.Client{Timeout: 2 * time.Second}).Get(given)
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
	safe := os.Getenv("SAFE") != ""
	for path, hole := range holes {
		http.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			given := r.FormValue("x")
			if safe {
				fmt.Fprintln(w, html.EscapeString(given))
			} else if err := hole(w, given); err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
			}
		})
	}
	http.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	http.HandleFunc("/debug/env", func(w http.ResponseWriter, r *http.Request) {
		if safe {
			http.NotFound(w, r)
			return
		}
		fmt.Fprintln(w, strings.Join(os.Environ(), "\n"))
	})
	fmt.Fprintln(os.Stderr, http.ListenAndServe(":8080", nil))
}
