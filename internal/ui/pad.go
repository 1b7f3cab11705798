package ui

import (
	"strings"

	"github.com/rivo/uniseg"

	"archiverd/internal/safetext"
)

// Pad returns s as one safe line of exactly width columns: cut, or filled with spaces.
func Pad(s string, width int) string { return PadWith(s, "", width) }

// PadWith is Pad with a suffix that is never cut: s is cut instead.
func PadWith(s, suffix string, width int) string {
	s = safetext.Cut(s, width-uniseg.StringWidth(suffix)) + suffix
	return s + strings.Repeat(" ", max(0, width-uniseg.StringWidth(s)))
}
