package main

import (
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"sync/atomic"
	"testing"

	"archiverd/internal/daemon"
)

// fillHostile sets every text of a value, however deep, to one that would change what a
// terminal shows; every number to 1, every list to one element.
func fillHostile(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString("evil\x1b[2J\u202e\n\u009b")
	case reflect.Int, reflect.Int64, reflect.Int32:
		v.SetInt(1)
	case reflect.Uint32, reflect.Uint64, reflect.Uint:
		v.SetUint(1)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fillHostile(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fillHostile(v.Index(0))
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				fillHostile(v.Field(i))
			}
		}
	}
}

// TestStatusOfHostileSocket: whatever listens on the control socket, its texts reach the
// terminal as escapes only.
func TestStatusOfHostileSocket(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.write("password", "secret\n")
	if err := os.Chmod(filepath.Join(s.dir, "password"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.configure("accounts:\n- {name: alice, server: 127.0.0.1, username: a, password_file: password}\n")
	l, err := net.Listen("unix", filepath.Join(s.dir, "control.sock"))
	if err != nil {
		t.Fatal(err)
	}
	report := &daemon.Report{}
	fillHostile(reflect.ValueOf(report).Elem())
	text, err := json.Marshal(report)
	if err != nil {
		t.Fatal(err)
	}
	var body atomic.Pointer[[]byte] // what the socket answers
	body.Store(&text)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(*body.Load()) // an error means that the client has gone
	})}
	go server.Serve(l)
	defer server.Close()
	for _, args := range [][]string{{"status"}, {"status", "--json"}} {
		r := s.run(args...)
		checkPrintable(t, "status", r.out+r.err)
		r.prints("evil")
	}
	broken := []byte(`{"accounts": "` + "\x1b]0;evil" + `"}`)
	body.Store(&broken)
	r := s.run("status").want(1)
	checkPrintable(t, "status", r.out+r.err)
}
