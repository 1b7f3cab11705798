package wire

import (
	"context"

	"archiverd/internal/uid"
)

// FetchHeaders fetches the headers of messages, BODY.PEEK[HEADER] and nothing else (RFC
// 9051 6.4.5). fn is called at most once for each UID of set, in the order of the
// replies; header is valid only until fn returns. A header of more than Limits.Literal
// octets ends the connection.
//
// fn is given a header only if its reply is readable and has a UID of set. nil does not
// mean that every header came: the caller compares.
//
// An error of fn ends the connection and is returned as it is.
func (c *Conn) FetchHeaders(ctx context.Context, set uid.Set, fn func(uid uint32, header []byte) error) error {
	cmd := command{name: cmdFetch, answerWait: c.options.Timeouts.Answer, onNO: ClassMessage, onBAD: ClassProtocol}
	for _, part := range splitSet(set) {
		var delivered uid.Set
		cmd.maxReplies = part.Len()
		_, err := c.run(ctx, cmd, "UID FETCH "+part.String()+" (UID BODY.PEEK[HEADER])", func(u untagged) (bool, error) {
			f := parseFetch(u)
			if f.broken || f.header.kind != text || !part.Contains(f.uid) || delivered.Contains(f.uid) {
				return false, nil
			}
			delivered.Add(f.uid)
			return true, fn(f.uid, f.header.octets)
		})
		if err != nil {
			return err
		}
	}
	return nil
}
