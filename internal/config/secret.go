package config

import (
	"fmt"
	"io"
	"log/slog"
)

const hidden = "***"

// Secret is a password. It is printed as *** by fmt with every verb, slog, JSON and
// YAML, also as a field of another struct. Only Bytes returns it. The zero value is
// empty.
type Secret struct {
	// fmt prints unexported fields without calling their methods, and follows a pointer to
	// a slice or struct where the verb does not fit. Of a pointer to a pointer it prints
	// no more than the address.
	p **[]byte
}

// newSecret returns a secret that owns b.
func newSecret(b []byte) Secret {
	p := &b
	return Secret{&p}
}

// Bytes returns the secret itself, not a copy. It is valid until Wipe.
func (s Secret) Bytes() []byte {
	if s.p == nil {
		return nil
	}
	return **s.p
}

// Wipe overwrites the secret in memory. All copies of this Secret are empty afterwards.
func (s Secret) Wipe() {
	if s.p != nil {
		clear(**s.p)
		**s.p = nil
	}
}

func (s Secret) empty() bool { return len(s.Bytes()) == 0 }

// String returns ***.
func (Secret) String() string { return hidden }

// GoString returns ***.
func (Secret) GoString() string { return hidden }

// Format writes ***, whatever the verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// MarshalJSON returns "***".
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + hidden + `"`), nil }

// MarshalText returns ***.
func (Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// MarshalYAML returns ***.
func (Secret) MarshalYAML() (any, error) { return hidden, nil }

// LogValue returns ***.
func (Secret) LogValue() slog.Value { return slog.StringValue(hidden) }
