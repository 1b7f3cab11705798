package fingerprint

import (
	"net/textproto"
	"strings"
)

// Fields returns Message-ID, Date, From and Subject of a header, by which a
// message is recognised even where a server rewrites it. It returns "" for a
// header without a Message-ID, whose other fields identify nothing.
func Fields(header []byte) string {
	values := map[string]string{}
	unfolded := strings.NewReplacer("\r\n ", " ", "\r\n\t", " ", "\n ", " ", "\n\t", " ").Replace(string(header))
	for line := range strings.Lines(unfolded) {
		name, value, _ := strings.Cut(line, ":")
		name = textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name))
		if _, again := values[name]; !again {
			values[name] = strings.Join(strings.Fields(value), " ")
		}
	}
	id := values["Message-Id"]
	if id == "" {
		return ""
	}
	return strings.Join([]string{id, values["Date"], values["From"], values["Subject"]}, "\n")
}
