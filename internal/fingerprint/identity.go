package fingerprint

import (
	"bytes"
	"strings"
)

// Identity returns the Message-ID of a header, without the space around it; "" if it
// has none. isUnique reports whether the header has a Message-ID or a Received field: no
// other message has the same header then, but for copies of this one. Without either,
// two messages of a program may have one header and other bodies.
func Identity(header []byte) (messageID string, isUnique bool) {
	for rest := header; len(rest) > 0; {
		var line []byte
		line, rest = cutField(rest)
		name, value, found := bytes.Cut(line, []byte{':'})
		if !found {
			continue
		}
		switch strings.ToLower(string(bytes.TrimSpace(name))) {
		case "message-id":
			if id := strings.Join(strings.Fields(string(value)), " "); messageID == "" && id != "" {
				messageID, isUnique = id, true
			}
		case "received":
			isUnique = isUnique || len(bytes.TrimSpace(value)) > 0
		}
	}
	return messageID, isUnique
}

// cutField returns the first field of a header with the lines that it is folded into,
// and what follows it.
func cutField(header []byte) (field, rest []byte) {
	for n := 0; ; {
		i := bytes.IndexByte(header[n:], '\n')
		if i < 0 {
			return header, nil
		}
		if n += i + 1; n == len(header) || header[n] != ' ' && header[n] != '\t' {
			return header[:n], header[n:]
		}
	}
}
