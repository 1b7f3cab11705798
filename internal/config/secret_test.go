package config

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

const password = "hunter2-püß"

// TestSecretNeverPrints prints a secret, and structs with one, in every way that Go has.
// The output must not have it in plain, quoted, hexadecimal, decimal or base64 form.
func TestSecretNeverPrints(t *testing.T) {
	secret := newSecret([]byte(password))
	a := defaultAccount()
	a.Name, a.password = "work", secret
	c := Defaults()
	c.Accounts = []Account{a}
	type holder struct {
		Public  Secret
		private Secret
		any     any
	}
	values := map[string]any{
		"secret": secret, "pointer": &secret, "slice": []Secret{secret}, "map": map[string]any{"p": secret},
		"holder": holder{secret, secret, secret}, "holder pointer": &holder{secret, secret, &secret},
		"account": a, "account pointer": &a, "config": *c, "config pointer": c,
	}
	var printed strings.Builder
	for name, v := range values {
		for _, verb := range []string{"v", "+v", "#v", "s", "q", "x", "X", "# x", "d", "o", "b", "c", "U", "e", "t", "T", "p", "w", "50v", "z"} {
			fmt.Fprintf(&printed, "%s %s: "+"%"+verb+"\n", name, verb, v)
		}
		fmt.Fprintln(&printed, v, fmt.Errorf("log in: %v", v), fmt.Sprint(v))
		for _, marshal := range []func(any) ([]byte, error){json.Marshal, yaml.Marshal, xml.Marshal} {
			out, err := marshal(v)
			fmt.Fprintf(&printed, "%s %v\n", out, err)
		}
		log := slog.HandlerOptions{Level: slog.LevelDebug, AddSource: true}
		slog.New(slog.NewTextHandler(&printed, &log)).Info("x", "v", v, slog.Group("g", "v", v))
		slog.New(slog.NewJSONHandler(&printed, &log)).With("v", v).Info("x", "v", v)
	}
	decimal := fmt.Sprint([]byte(password))
	for _, form := range []string{password, "hunter2", fmt.Sprintf("%q", password), fmt.Sprintf("%+q", password),
		hex.EncodeToString([]byte(password)), strings.ToUpper(hex.EncodeToString([]byte(password))), fmt.Sprintf("% x", password),
		strings.Trim(decimal, "[]"), strings.ReplaceAll(strings.Trim(decimal, "[]"), " ", ","), "0x68, 0x75",
		base64.StdEncoding.EncodeToString([]byte(password))} {
		if i := strings.Index(printed.String(), form); i >= 0 {
			t.Errorf("%q was printed: …%s", form, printed.String()[max(0, i-100):i+len(form)])
		}
	}
	if n := strings.Count(printed.String(), hidden); n < 100 {
		t.Errorf("only %d times %s: was anything printed?", n, hidden)
	}
	if got := string(secret.Bytes()); got != password {
		t.Errorf("printing changed it to %q", got)
	}
}

func TestSecretHasNoExportedField(t *testing.T) {
	typ := reflect.TypeFor[Secret]()
	for i := range typ.NumField() {
		f := typ.Field(i)
		if f.IsExported() {
			t.Errorf("%s is exported", f.Name)
		}
		if f.Type.Kind() != reflect.Pointer || f.Type.Elem().Kind() != reflect.Pointer {
			t.Errorf("fmt would print the octets of a %s inside another struct", f.Type)
		}
	}
	// No exported method but Bytes may return the secret.
	for i := range typ.NumMethod() {
		m := reflect.ValueOf(newSecret([]byte(password))).Method(i)
		name := typ.Method(i).Name
		if m.Type().NumIn() > 0 || name == "Bytes" {
			continue
		}
		for _, out := range m.Call(nil) {
			if strings.Contains(fmt.Sprintf("%s", out), "hunter2") {
				t.Errorf("%s returns the secret", name)
			}
		}
	}
}

func TestSecretWipe(t *testing.T) {
	octets := []byte(password)
	s := newSecret(octets)
	other := s
	s.Wipe()
	if !bytes.Equal(octets, make([]byte, len(octets))) || other.Bytes() != nil {
		t.Errorf("left %q, %q", octets, other.Bytes())
	}
	s.Wipe()
	Secret{}.Wipe()
	if (Secret{}).Bytes() != nil {
		t.Error("the zero Secret holds something")
	}
}
