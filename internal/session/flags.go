package session

import (
	"slices"
	"strings"

	"archiverd/internal/wire"
)

// NormalizeFlags returns flags in the form in which they are compared: in lower
// case (RFC 9051 2.3.2), sorted, each once.
func NormalizeFlags(flags []string) []string {
	out := make([]string, len(flags))
	for i, f := range flags {
		out[i] = strings.ToLower(f)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// SendableFlags returns those flags that a command may contain, normalized.
func SendableFlags(flags []string) []string {
	return slices.DeleteFunc(NormalizeFlags(flags), func(f string) bool { return !wire.ValidFlag(f) })
}

// EqualFlags reports whether a and b are the same flags, in any order and case.
func EqualFlags(a, b []string) bool {
	return slices.Equal(NormalizeFlags(a), NormalizeFlags(b))
}

// HasFlag reports whether flag is one of flags, in any case.
func HasFlag(flags []string, flag string) bool {
	return slices.ContainsFunc(flags, func(f string) bool { return strings.EqualFold(f, flag) })
}
