package main

import (
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
)

func TestJSONRequests(t *testing.T) {
	long := strings.Repeat("x", maxArgumentBytes)
	for _, test := range []struct{ name, body, code string }{
		{"no JSON", `{"script":`, "invalid_json"},
		{"nothing", ``, "invalid_json"},
		{"a list", `["script"]`, "invalid_json"},
		{"null", `null`, "invalid_json"},
		{"something after it", `{"script":"1"} {}`, "invalid_json"},
		{"byte order mark", "\ufeff" + `{"script":"1"}`, "invalid_json"},
		{"unknown key", `{"script":"1","shell":"sh"}`, "unknown_field"},
		{"key in capitals", `{"Script":"1"}`, "unknown_field"},
		{"no script", `{"input":"a"}`, "missing_field"},
		{"script null", `{"script":null}`, "missing_field"},
		{"script a number", `{"script":1}`, "invalid_field"},
		{"input a list", `{"script":"1","input":[]}`, "invalid_field"},
		{"args a string", `{"script":"1","args":"-v"}`, "invalid_field"},
		{"args with a number", `{"script":"1","args":["-v",1]}`, "invalid_field"},
		{"args with null", `{"script":"1","args":[null]}`, "invalid_field"},
		{"NUL in script", `{"script":"a\u0000b"}`, "nul_byte"},
		{"NUL in args", `{"script":"1","args":["\u0000"]}`, "nul_byte"},
		{"script too large", `{"script":"` + long + `x"}`, "script_too_large"},
		{"script of the largest size", `{"script":"` + long + `"}`, ""},
		{"args too large", `{"script":"1","args":["` + long + `","x"]}`, "args_too_large"},
		{"too many args", `{"script":"1","args":[""` + strings.Repeat(`,""`, maxArguments) + `]}`, "args_too_large"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, failed := parseJSON([]byte(test.body))
			if code := codeOf(failed); code != test.code {
				t.Errorf("got %q, want %q", code, test.code)
			}
		})
	}
}

func TestJSONRequestIsReadWhole(t *testing.T) {
	got, failed := parseJSON([]byte(` {"args": ["-v", "a=é"], "input": "\ud800\u0000", "script": "a", "script": "b"}`))
	wanted := job{script: "b", input: "\ufffd\x00", args: []string{"-v", "a=é"}}
	if failed != nil || !reflect.DeepEqual(got, wanted) {
		t.Errorf("got %+v, %v, want %+v", got, failed, wanted)
	}
}

func TestForms(t *testing.T) {
	for _, test := range []struct {
		name, body, code string
		wanted           job
	}{
		{"encoded", "awkScript=%7Bprint+%241%7D&text=a%0Ab", "", job{script: "{print $1}", input: "a\nb"}},
		{"as typed", "awkScript={print $1; print 2}", "", job{script: "{print $1; print 2}"}},
		{"first one counts", "awkScript=1&awkScript=2&&", "", job{script: "1"}},
		{"equals sign in a value", "awkScript=a==1", "", job{script: "a==1"}},
		{"no script", "text=a", "missing_field", job{}},
		{"nothing", "", "missing_field", job{}},
		{"bad escape", "awkScript=%zz", "invalid_form", job{}},
		{"cut escape", "awkScript=%4", "invalid_form", job{}},
		{"not UTF-8", "awkScript=%ff", "invalid_utf8", job{}},
		{"unknown field", "awkScript=1&args=-v", "unknown_field", job{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, failed := parseForm([]byte(test.body))
			if code := codeOf(failed); code != test.code || !reflect.DeepEqual(got, test.wanted) {
				t.Errorf("got %+v, %q", got, code)
			}
		})
	}
}

func TestBodies(t *testing.T) {
	for _, test := range []struct{ name, mediaType, body, code string }{
		{"right", "application/json", "12345678", ""},
		{"with a parameter, in capitals", "Application/JSON; charset=utf-8", "{}", ""},
		{"no type", "", "{}", "unsupported_media_type"},
		{"other type", "text/plain", "{}", "unsupported_media_type"},
		{"too large", "application/json", "123456789", "request_too_large"},
		{"not UTF-8", "application/json", "\"\xff\"", "invalid_utf8"},
	} {
		t.Run(test.name, func(t *testing.T) {
			request := httptest.NewRequest("POST", "/", strings.NewReader(test.body))
			request.Header.Set("Content-Type", test.mediaType)
			_, failed := readBody(request, "application/json", 8)
			if code := codeOf(failed); code != test.code {
				t.Errorf("got %q, want %q", code, test.code)
			}
		})
	}
}

func codeOf(failed *failure) string {
	if failed == nil {
		return ""
	}
	return failed.code
}
