package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
)

// answer is anything that encoding/json can write.
type answer any

// failure is an error as the caller sees it. partial is what a script that was stopped had written so far.
type failure struct {
	status  int
	code    string
	message string
	partial *finished
}

func newFailure(status int, code, message string) *failure {
	return &failure{status: status, code: code, message: message}
}

func errNoAwk() *failure {
	return newFailure(http.StatusServiceUnavailable, "awk_not_found", "there is no awk on the PATH of this service")
}

type errorBody struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

type errorAnswer struct {
	Error errorBody `json:"error"`
}

type stoppedAnswer struct {
	Error      errorBody `json:"error"`
	Stdout     string    `json:"stdout"`
	Stderr     string    `json:"stderr"`
	DurationMS int64     `json:"duration_ms"`
	Truncated  bool      `json:"truncated,omitempty"`
}

func fail(writer http.ResponseWriter, failed *failure) {
	if failed.status == http.StatusServiceUnavailable {
		writer.Header().Set("Retry-After", "1")
	}
	if failed.status == http.StatusRequestEntityTooLarge {
		writer.Header().Set("Connection", "close")
	}
	body := errorBody{Code: failed.code, Message: failed.message}
	if failed.partial == nil {
		reply(writer, failed.status, errorAnswer{Error: body})
		return
	}
	reply(writer, failed.status, stoppedAnswer{
		Error:      body,
		Stdout:     failed.partial.stdout,
		Stderr:     failed.partial.stderr,
		DurationMS: failed.partial.duration.Milliseconds(),
		Truncated:  failed.partial.truncated,
	})
}

func reply(writer http.ResponseWriter, status int, content answer) {
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(content); err != nil {
		panic(err) // only our own records come here, and all of them can be written
	}
	header := writer.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Content-Length", strconv.Itoa(body.Len()))
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	writer.WriteHeader(status)
	// The caller may be gone; there is nobody left to tell.
	_, _ = writer.Write(body.Bytes())
}
