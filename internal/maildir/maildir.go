// Package maildir implements the names in a Maildir: a directory with the
// subdirectories cur, new and tmp, in which each message is a file.
//
// Flags are letters at the end of the file's name, in cur. Keywords are letters too, a
// to z; the file dovecot-keywords of each mailbox says what they mean, as Dovecot does
// it. The modification time of a file is the INTERNALDATE of its message.
//
// Mailboxes are named in modified UTF-7, as Dovecot and Courier do. In the layout
// Maildir++ the root is INBOX and each other mailbox is a subdirectory of it, with a
// dot before every level: .Lists.go. In the nested layout the levels are directories:
// Lists/go.
package maildir

import (
	"bufio"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"

	"archiverd/internal/utf7"
)

// KeywordsName is the file that says what the letters of keywords mean.
const KeywordsName = "dovecot-keywords"

// FolderName is the empty file that marks a directory of Maildir++ as a mailbox
// below the root.
const FolderName = "maildirfolder"

// Folders returns the three subdirectories of a Maildir.
func Folders() []string { return []string{"cur", "new", "tmp"} }

// flagLetters are the flags in the order of their letters. P means that the message
// was forwarded.
var flagLetters = []struct {
	letter byte
	flag   string
}{{'D', `\Draft`}, {'F', `\Flagged`}, {'P', "$Forwarded"}, {'R', `\Answered`}, {'S', `\Seen`}, {'T', `\Deleted`}}

// MaxKeywords is how many keywords a mailbox can have.
const MaxKeywords = 26

// Keywords are the keywords of a mailbox: the letter of the first is a, of the
// second b. An empty one is not in use.
type Keywords []string

// ReadKeywords reads a file dovecot-keywords. It ignores lines that it does not
// understand.
func ReadKeywords(r io.Reader) (Keywords, error) {
	var k Keywords
	in := bufio.NewScanner(io.LimitReader(r, 1<<20))
	for in.Scan() {
		number, name, ok := strings.Cut(strings.TrimRight(in.Text(), "\r"), " ")
		n, err := strconv.Atoi(number)
		if !ok || err != nil || n < 0 || n >= MaxKeywords || name == "" || strings.Contains(name, "\r") {
			continue
		}
		for len(k) <= n {
			k = append(k, "")
		}
		k[n] = name
	}
	return k, in.Err()
}

// String returns the text of the file dovecot-keywords.
func (k Keywords) String() string {
	var b strings.Builder
	for i, name := range k {
		if name != "" && !strings.ContainsAny(name, "\r\n") { // a line of its own
			fmt.Fprintf(&b, "%d %s\n", i, name)
		}
	}
	return b.String()
}

// Add gives a keyword a letter if it has none. It returns false if all are taken.
func (k *Keywords) Add(keyword string) bool {
	if containsFlag(*k, keyword) {
		return true
	}
	if len(*k) == MaxKeywords {
		return false
	}
	*k = append(*k, keyword)
	return true
}

// containsFlag reports whether flags contain a flag, in any case (RFC 9051 2.3.2).
func containsFlag(flags []string, flag string) bool {
	return slices.ContainsFunc(flags, func(f string) bool { return strings.EqualFold(f, flag) })
}

// Info returns the end of a file name for these flags. Keywords without a letter
// are left out.
func (k Keywords) Info(flags []string) string {
	has := func(flag string) bool { return flag != "" && containsFlag(flags, flag) }
	info := []byte(":2,")
	for _, l := range flagLetters {
		if has(l.flag) {
			info = append(info, l.letter)
		}
	}
	for i, keyword := range k {
		if has(keyword) && !containsFlag(k[:i], keyword) { // a program may have given a keyword two letters
			info = append(info, 'a'+byte(i))
		}
	}
	return string(info)
}

// Split splits a file name into its base and the letters of its flags. The
// separator is ":2,", or "!2," or ";2," on a file system without colons in names.
func Split(name string) (base, letters string) {
	for _, sep := range []string{":2,", ";2,", "!2,"} {
		if i := strings.LastIndex(name, sep); i > 0 {
			letters, _, _ = strings.Cut(name[i+len(sep):], ",")
			return name[:i], letters
		}
	}
	return name, ""
}

// Flags returns the flags for the letters, sorted. It ignores letters without a
// meaning.
func (k Keywords) Flags(letters string) []string {
	flags := []string{}
	for _, l := range flagLetters {
		if strings.IndexByte(letters, l.letter) >= 0 {
			flags = append(flags, l.flag)
		}
	}
	for i, keyword := range k {
		if keyword != "" && strings.IndexByte(letters, 'a'+byte(i)) >= 0 && !containsFlag(flags, keyword) {
			flags = append(flags, keyword)
		}
	}
	slices.Sort(flags)
	return flags
}

// maxFileName is how many octets a file name can have.
const maxFileName = 255

// Dir returns the directory of a mailbox relative to the root, "." for INBOX.
// levels are named as directories of the archive are. It is an error if a name is
// too long for file systems.
func Dir(levels []string, nested bool) (string, error) {
	if len(levels) == 1 && levels[0] == "INBOX" {
		return ".", nil
	}
	names := make([]string, len(levels))
	for i, l := range levels {
		if names[i] = utf7.Encode(l); nested {
			names[i] = escapeReserved(names[i])
		} else {
			names[i] = strings.ReplaceAll(names[i], ".", "%2E")
		}
	}
	dir := path.Join(names...)
	if !nested {
		names = []string{"." + strings.Join(names, ".")}
		dir = names[0]
	}
	for _, n := range names {
		if len(n) > maxFileName {
			return "", fmt.Errorf("its name in Maildir has %d octets, and file systems take %d", len(n), maxFileName)
		}
	}
	return dir, nil
}

// escapeReserved escapes the first octet of a name that is reserved in a Maildir as
// %XX.
func escapeReserved(name string) string {
	own := slices.Contains(Folders(), name) || strings.HasPrefix(name, "dovecot") || strings.HasPrefix(name, "~") ||
		name == "subscriptions" || name == FolderName
	if !own {
		return name
	}
	return fmt.Sprintf("%%%02X", name[0]) + name[1:]
}

// Levels returns the levels of the mailbox in directory dir. They are named as
// directories of the archive are if archiverd made the Maildir.
func Levels(dir string, nested bool) []string {
	var names []string
	if nested {
		names = strings.Split(dir, "/")
	} else {
		names = strings.Split(strings.TrimPrefix(dir, "."), ".")
	}
	for i, n := range names {
		if decoded, err := utf7.Decode(n); err == nil {
			names[i] = decoded
		}
	}
	return names
}
