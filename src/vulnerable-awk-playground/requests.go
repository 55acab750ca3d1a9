package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"
)

const (
	// maxArgumentBytes is what Linux lets one argument of a program have, less its closing NUL (MAX_ARG_STRLEN in execve(2)).
	maxArgumentBytes = 128<<10 - 1
	maxArguments     = 64
)

// job is one script to run. args come before the script on awk's command line, so a caller can pass options: that
// injection is one of the holes this service is there for.
type job struct {
	script string
	input  string
	args   []string
}

// readBody gives the whole body, or says which rule it breaks.
func readBody(request *http.Request, mediaType string, limit int64) ([]byte, *failure) {
	given, _, _ := strings.Cut(request.Header.Get("Content-Type"), ";")
	if !strings.EqualFold(strings.TrimSpace(given), mediaType) {
		return nil, newFailure(http.StatusUnsupportedMediaType, "unsupported_media_type",
			"this path takes a body of type "+mediaType)
	}
	body, err := io.ReadAll(io.LimitReader(request.Body, limit+1))
	if err != nil {
		return nil, newFailure(http.StatusBadRequest, "unreadable_body", "the body could not be read to its end")
	}
	if int64(len(body)) > limit {
		// A caller who is still writing would meet a reset connection instead of this answer: take some more, unread.
		_, _ = io.CopyN(io.Discard, request.Body, limit)
		return nil, newFailure(http.StatusRequestEntityTooLarge, "request_too_large",
			fmt.Sprintf("the body is larger than %d bytes", limit))
	}
	if !utf8.Valid(body) {
		return nil, errNotUTF8()
	}
	return body, nil
}

func errNotUTF8() *failure {
	return newFailure(http.StatusBadRequest, "invalid_utf8", "the body is not valid UTF-8")
}

// parseJSON reads {"script", "input", "args"}. Keys must match exactly, which encoding/json alone would not ask for.
func parseJSON(body []byte) (job, *failure) {
	if !json.Valid(body) {
		return job{}, newFailure(http.StatusBadRequest, "invalid_json", "the body is not valid JSON")
	}
	if !bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("{")) {
		return job{}, newFailure(http.StatusBadRequest, "invalid_json", "the body is not a JSON object")
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil {
		return job{}, newFailure(http.StatusBadRequest, "invalid_json", "the body is not valid JSON")
	}
	for name := range fields {
		if name != "script" && name != "input" && name != "args" {
			return job{}, newFailure(http.StatusBadRequest, "unknown_field", "a field other than script, input and args")
		}
	}
	var script, input *string
	var args []*string
	if json.Unmarshal(orNull(fields["script"]), &script) != nil {
		return job{}, errFieldType("script", "a string")
	}
	if json.Unmarshal(orNull(fields["input"]), &input) != nil {
		return job{}, errFieldType("input", "a string")
	}
	if json.Unmarshal(orNull(fields["args"]), &args) != nil {
		return job{}, errFieldType("args", "a list of strings")
	}
	words := make([]string, 0, len(args))
	for _, word := range args {
		if word == nil {
			return job{}, errFieldType("args", "a list of strings")
		}
		words = append(words, *word)
	}
	return newJob(script, input, words, "script")
}

func orNull(raw json.RawMessage) json.RawMessage {
	if raw == nil {
		return json.RawMessage("null")
	}
	return raw
}

// parseForm reads awkScript and text. A plain ";" is taken as it stands, which url.ParseQuery would refuse: scripts typed
// after curl's -d are full of them. Of a repeated field the first one counts.
func parseForm(body []byte) (job, *failure) {
	fields := map[string]string{}
	for _, pair := range strings.Split(string(body), "&") {
		if pair == "" {
			continue
		}
		rawName, rawValue, _ := strings.Cut(pair, "=")
		name, err1 := url.QueryUnescape(rawName)
		value, err2 := url.QueryUnescape(rawValue)
		if err1 != nil || err2 != nil {
			return job{}, newFailure(http.StatusBadRequest, "invalid_form", "the form has a % that two hex digits do not follow")
		}
		if !utf8.ValidString(name) || !utf8.ValidString(value) {
			return job{}, errNotUTF8()
		}
		if name != "awkScript" && name != "text" {
			return job{}, newFailure(http.StatusBadRequest, "unknown_field", "a field other than awkScript and text")
		}
		if _, seen := fields[name]; !seen {
			fields[name] = value
		}
	}
	var script *string
	if value, given := fields["awkScript"]; given {
		script = &value
	}
	input := fields["text"]
	return newJob(script, &input, nil, "awkScript")
}

// newJob applies the rules that both ways in share.
func newJob(script, input *string, args []string, scriptField string) (job, *failure) {
	if script == nil {
		return job{}, newFailure(http.StatusBadRequest, "missing_field", "the field "+scriptField+" is missing")
	}
	if len(*script) > maxArgumentBytes {
		return job{}, newFailure(http.StatusRequestEntityTooLarge, "script_too_large",
			fmt.Sprintf("the script is larger than %d bytes", maxArgumentBytes))
	}
	total := 0
	for _, word := range args {
		total += len(word)
	}
	if len(args) > maxArguments || total > maxArgumentBytes {
		return job{}, newFailure(http.StatusRequestEntityTooLarge, "args_too_large",
			fmt.Sprintf("more than %d args, or more than %d bytes of them", maxArguments, maxArgumentBytes))
	}
	if strings.ContainsRune(*script+strings.Join(args, ""), 0) {
		return job{}, newFailure(http.StatusBadRequest, "nul_byte", "neither the script nor args can hold a NUL character")
	}
	made := job{script: *script, args: args}
	if input != nil {
		made.input = *input
	}
	return made, nil
}

func errFieldType(name, wanted string) *failure {
	return newFailure(http.StatusBadRequest, "invalid_field", "the field "+name+" is not "+wanted)
}
