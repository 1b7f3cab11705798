package hostile

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Answer answers a command truthfully.
func (s *Session) Answer(cmd Command) {
	result := "OK done"
	switch cmd.Name {
	case "CAPABILITY":
		s.Send("* CAPABILITY " + s.Capabilities() + "\r\n")
	case "STARTTLS":
		s.Send(cmd.Tag + " OK begin\r\n")
		s.over = !s.secure()
		return
	case "LOGIN":
		result = s.login(unquote(cmd.Args))
	case "AUTHENTICATE":
		result = s.authenticate(cmd.Args)
	case "LIST":
		s.list(cmd.Args)
	case "STATUS":
		name, items := cut(cmd.Args)
		if m := s.find(name); m != nil {
			s.status(m, items)
		} else {
			result = "NO [NONEXISTENT] no such mailbox"
		}
	case "EXAMINE", "SELECT":
		name, _ := cut(cmd.Args)
		result = s.examine(name, cmd.Name == "SELECT")
	case "UID SEARCH":
		s.search(cmd)
	case "FETCH", "UID FETCH":
		s.fetch(cmd)
	case "COMPRESS":
		if !s.Server.opt.Deflate {
			result = "NO no"
			break
		}
		s.Send(cmd.Tag + " OK from here on\r\n")
		s.over = s.compress() != nil
		return
	case "NOOP":
	case "LOGOUT":
		s.Send("* BYE good-bye\r\n")
		s.over = true
	default:
		result = "BAD unknown command"
	}
	s.Send(cmd.Tag + " " + result + "\r\n")
}

func (s *Session) login(words []string) string {
	o := s.Server.opt
	if len(words) != 2 || words[0] != o.Username || words[1] != o.Password {
		return "NO [AUTHENTICATIONFAILED] invalid user name or password"
	}
	s.User = o.Username
	return "OK [CAPABILITY " + s.Capabilities() + "] welcome"
}

func (s *Session) authenticate(args string) string {
	mechanism, initial, _ := strings.Cut(args, " ")
	ask := func(prompt string) string {
		s.Send("+ " + base64.StdEncoding.EncodeToString([]byte(prompt)) + "\r\n")
		line, _ := s.Line() // at the end of the connection: a failed login
		return line
	}
	decode := func(text string) string {
		octets, _ := base64.StdEncoding.DecodeString(text) // nonsense: a failed login
		return string(octets)
	}
	switch strings.ToUpper(mechanism) {
	case "PLAIN":
		if initial == "" {
			initial = ask("")
		}
		words := strings.Split(decode(initial), "\x00")
		return s.login(words[min(1, len(words)):])
	case "LOGIN":
		return s.login([]string{decode(ask("User Name")), decode(ask("Password"))})
	}
	return "NO unknown mechanism"
}

func (s *Session) find(name string) *Mailbox {
	for i := range s.Server.opt.Mailboxes {
		if m := &s.Server.opt.Mailboxes[i]; m.Name == name {
			return m
		}
	}
	return nil
}

func (s *Session) list(args string) {
	_, options, _ := strings.Cut(args, "STATUS (")
	for i := range s.Server.opt.Mailboxes {
		m := &s.Server.opt.Mailboxes[i]
		s.Send("* LIST (" + m.Attrs + `) "/" ` + quote(m.Name) + "\r\n")
		if options != "" && !strings.Contains(m.Attrs, `\No`) {
			items, _, _ := strings.Cut(options, ")")
			s.status(m, items)
		}
	}
}

func (m *Mailbox) next() uint32 {
	if m.UIDNext == 0 && len(m.Messages) > 0 {
		return m.Messages[len(m.Messages)-1].UID + 1
	}
	return max(m.UIDNext, 1)
}

func (s *Session) status(m *Mailbox, items string) {
	var out []string
	for _, item := range strings.Fields(strings.Trim(items, "()")) {
		value := uint64(0)
		switch item {
		case "MESSAGES":
			value = uint64(len(m.Messages))
		case "UIDNEXT":
			value = uint64(m.next())
		case "UIDVALIDITY":
			value = uint64(m.UIDValidity)
		case "HIGHESTMODSEQ":
			value = m.HighestModSeq
		}
		out = append(out, fmt.Sprintf("%s %d", item, value))
	}
	s.Send("* STATUS " + quote(m.Name) + " (" + strings.Join(out, " ") + ")\r\n")
}

func (s *Session) examine(name string, write bool) string {
	if s.Open = s.find(name); s.Open == nil {
		return "NO [NONEXISTENT] no such mailbox"
	}
	s.Send(fmt.Sprintf("* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)\r\n* %d EXISTS\r\n* 0 RECENT\r\n"+
		"* OK [UIDVALIDITY %d] UIDs valid\r\n* OK [UIDNEXT %d] next\r\n",
		len(s.Open.Messages), s.Open.UIDValidity, s.Open.next()))
	if s.Open.HighestModSeq > 0 {
		s.Send(fmt.Sprintf("* OK [HIGHESTMODSEQ %d] highest\r\n", s.Open.HighestModSeq))
	} else {
		s.Send("* OK [NOMODSEQ] none\r\n")
	}
	if write {
		return "OK [READ-WRITE] opened"
	}
	return "OK [READ-ONLY] opened"
}

func (s *Session) search(cmd Command) {
	var uids []string
	if s.Open != nil {
		for _, m := range s.Open.Messages {
			uids = append(uids, strconv.FormatUint(uint64(m.UID), 10))
		}
	}
	if strings.HasPrefix(cmd.Args, "RETURN") {
		all := ""
		if len(uids) > 0 {
			all = " ALL " + strings.Join(uids, ",")
		}
		s.Send(`* ESEARCH (TAG "` + cmd.Tag + `") UID` + all + "\r\n")
		return
	}
	s.Send(strings.TrimRight("* SEARCH "+strings.Join(uids, " "), " ") + "\r\n")
}

func (s *Session) fetch(cmd Command) {
	set, items := cut(cmd.Args)
	if s.Open == nil {
		return
	}
	var since uint64
	if _, after, found := strings.Cut(items, "CHANGEDSINCE "); found {
		since, _ = strconv.ParseUint(strings.TrimRight(after, ")"), 10, 64)
	}
	items, _, _ = strings.Cut(strings.TrimPrefix(items, "("), ")")
	wanted := ranges(set)
	for i, m := range s.Open.Messages {
		n := uint32(i + 1)
		if cmd.Name == "UID FETCH" {
			n = m.UID
		}
		asked := slices.ContainsFunc(wanted, func(r [2]uint32) bool { return r[0] <= n && n <= r[1] })
		if asked && (since == 0 || m.ModSeq > since) {
			if since > 0 {
				items = strings.TrimSuffix(items, " MODSEQ") + " MODSEQ"
			}
			s.Fetched(i, items)
		}
	}
	_ = s.w.Flush() // an error shows in the next read
}

// Fetched writes the FETCH reply with the items of the open mailbox's i-th
// message, counted from 0.
func (s *Session) Fetched(i int, items string) {
	m := s.Open.Messages[i]
	w := s.w
	fmt.Fprintf(w, "* %d FETCH (", i+1)
	for k, item := range strings.Fields(items) {
		if k > 0 {
			w.WriteString(" ")
		}
		switch item {
		case "UID":
			fmt.Fprintf(w, "UID %d", m.UID)
		case "FLAGS":
			w.WriteString("FLAGS (" + m.Flags + ")")
		case "INTERNALDATE":
			w.WriteString(`INTERNALDATE "` + m.Date + `"`)
		case "RFC822.SIZE":
			fmt.Fprintf(w, "RFC822.SIZE %d", len(m.Body))
		case "MODSEQ":
			fmt.Fprintf(w, "MODSEQ (%d)", m.ModSeq)
		case "EMAILID":
			fmt.Fprintf(w, "EMAILID (%s)", m.ID)
		case "X-GM-MSGID":
			w.WriteString("X-GM-MSGID " + m.ID)
		case "X-GM-LABELS":
			w.WriteString("X-GM-LABELS (" + m.Labels + ")")
		case "BODY.PEEK[HEADER]", "BODY[HEADER]":
			header := m.Body
			if i := bytes.Index(header, []byte("\r\n\r\n")); i >= 0 {
				header = header[:i+4]
			}
			fmt.Fprintf(w, "BODY[HEADER] {%d}\r\n", len(header))
			w.Write(header)
		case "BODY.PEEK[]", "BODY[]":
			fmt.Fprintf(w, "BODY[] {%d}\r\n", len(m.Body))
			w.Write(m.Body)
		}
	}
	w.WriteString(")\r\n")
}

// ranges reads a set as sent in a command, "1,4:7,9:*".
func ranges(set string) (out [][2]uint32) {
	for part := range strings.SplitSeq(set, ",") {
		a, b, ranged := strings.Cut(part, ":")
		first, last := bound(a), bound(b)
		if !ranged {
			last = first
		}
		out = append(out, [2]uint32{min(first, last), max(first, last)})
	}
	return out
}

func bound(text string) uint32 {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return 1<<32 - 1 // "*"
	}
	return uint32(n)
}

// cut splits off the first word, taken out of its quotes.
func cut(args string) (first, rest string) {
	words := unquote(args)
	if len(words) == 0 {
		return "", ""
	}
	if strings.HasPrefix(args, `"`) {
		return words[0], strings.TrimLeft(args[len(quote(words[0])):], " ")
	}
	return words[0], strings.TrimLeft(args[len(words[0]):], " ")
}

// unquote splits arguments into words, quoted strings and literals.
func unquote(args string) []string {
	var words []string
	for args = strings.TrimLeft(args, " "); args != ""; args = strings.TrimLeft(args, " ") {
		var word strings.Builder
		i := 0
		switch args[0] {
		case '"':
			for i = 1; i < len(args) && args[i] != '"'; i++ {
				if args[i] == '\\' && i+1 < len(args) {
					i++
				}
				word.WriteByte(args[i])
			}
			i++
		case '{':
			size, after, _ := strings.Cut(args[1:], "}\r\n")
			n, _ := strconv.Atoi(strings.TrimSuffix(size, "+")) // the reader of the command knew it for a number
			n = min(n, len(after))
			word.WriteString(after[:n])
			i = len(args) - len(after) + n
		default:
			i = max(strings.IndexByte(args+" ", ' '), 1)
			word.WriteString(args[:i])
		}
		words = append(words, word.String())
		args = args[min(i, len(args)):]
	}
	return words
}

func quote(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
}
