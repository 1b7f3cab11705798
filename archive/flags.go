package archive

import (
	"strings"
)

// StoredFlags returns flags in the form in which a journal stores them: valid
// UTF-8, and none with a space in it.
func StoredFlags(flags []string) []string { return strings.Fields(JoinFlags(flags)) }

// JoinFlags returns the stored form of flags as one string, with spaces between
// them.
func JoinFlags(flags []string) string {
	return strings.ToValidUTF8(strings.Join(flags, " "), "\uFFFD")
}
