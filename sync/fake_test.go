package sync

import (
	"strings"

	"archiverd/internal/testing/hostile"
	"archiverd/internal/testing/world"
)

// lie is a script; see hostile.Options.
type lie = func(s *hostile.Session, cmd hostile.Command) bool

func count(boxes []hostile.Mailbox) int {
	n := 0
	for _, m := range boxes {
		n += len(m.Messages)
	}
	return n
}

// headers are the commands that asked for headers.
func headers(s *world.Server) (out []string) {
	for _, c := range s.Commands() {
		if strings.Contains(c, "HEADER") {
			out = append(out, c)
		}
	}
	return out
}
