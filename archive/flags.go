package archive

import (
	"strings"
)

// StoredFlags returns flags in the form that a journal stores: valid UTF-8, and no
// spaces within a flag.
func StoredFlags(flags []string) []string { return strings.Fields(JoinFlags(flags)) }

// JoinFlags returns the stored form of flags as one string, with spaces between
// them.
func JoinFlags(flags []string) string {
	return strings.ToValidUTF8(strings.Join(flags, " "), "\uFFFD")
}
