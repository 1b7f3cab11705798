// Package maildir knows the names of a Maildir: a directory with the folders cur,
// new and tmp, in which each message is a file.
//
// Flags are letters behind the file's name, in cur. Keywords are letters too, a to
// z, whose meaning stands in the file dovecot-keywords of each mailbox, as Dovecot
// has it. The time of a message's file is its INTERNALDATE.
//
// Mailboxes are called in modified UTF-7, as Dovecot and Courier call them. In
// the layout Maildir++ the root is INBOX and each other mailbox a directory in
// it, a dot before every level: .Lists.go. In the nested layout they are
// directories in each other: Lists/go.
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

// KeywordsName is the file that tells what the keywords' letters mean.
const KeywordsName = "dovecot-keywords"

// FolderName is the empty file that marks a directory of Maildir++ as a mailbox
// below another.
const FolderName = "maildirfolder"

// Folders are the three directories of a Maildir.
func Folders() []string { return []string{"cur", "new", "tmp"} }

// flagLetters are the flags, in the order of their letters. P says that a message
// was passed on.
var flagLetters = []struct {
	letter byte
	flag   string
}{{'D', `\Draft`}, {'F', `\Flagged`}, {'P', "$Forwarded"}, {'R', `\Answered`}, {'S', `\Seen`}, {'T', `\Deleted`}}

// MaxKeywords is how many keywords a mailbox can have.
const MaxKeywords = 26

// Keywords are the keywords of a mailbox: the first is a, the second b. An empty one
// is not used.
type Keywords []string

// ReadKeywords reads the file dovecot-keywords. Lines that it does not understand are
// passed over.
func ReadKeywords(r io.Reader) (Keywords, error) {
	var k Keywords
	in := bufio.NewScanner(io.LimitReader(r, 1<<20))
	for in.Scan() {
		number, name, ok := strings.Cut(strings.TrimRight(in.Text(), "\r"), " ")
		n, err := strconv.Atoi(number)
		if !ok || err != nil || n < 0 || n >= MaxKeywords || name == "" {
			continue
		}
		for len(k) <= n {
			k = append(k, "")
		}
		k[n] = name
	}
	return k, in.Err()
}

// String is the text of the file dovecot-keywords.
func (k Keywords) String() string {
	var b strings.Builder
	for i, name := range k {
		if name != "" {
			fmt.Fprintf(&b, "%d %s\n", i, name)
		}
	}
	return b.String()
}

// Add gives a keyword a letter if it has none. It is false when all are taken.
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

// containsFlag says whether a flag is among others. Case makes no other flag (RFC 9051 2.3.2).
func containsFlag(flags []string, flag string) bool {
	return slices.ContainsFunc(flags, func(f string) bool { return strings.EqualFold(f, flag) })
}

// Info is what stands behind a file's name for these flags. A keyword without a
// letter is left out.
func (k Keywords) Info(flags []string) string {
	has := func(flag string) bool { return flag != "" && containsFlag(flags, flag) }
	info := []byte(":2,")
	for _, l := range flagLetters {
		if has(l.flag) {
			info = append(info, l.letter)
		}
	}
	for i, keyword := range k {
		if has(keyword) && !containsFlag(k[:i], keyword) { // a program may have given it two letters
			info = append(info, 'a'+byte(i))
		}
	}
	return string(info)
}

// Split splits the name of a message's file from its flags. Between them stands ":2,",
// or "!2," or ";2," where a file system takes no colon.
func Split(name string) (base, letters string) {
	for _, sep := range []string{":2,", ";2,", "!2,"} {
		if i := strings.LastIndex(name, sep); i > 0 {
			letters, _, _ = strings.Cut(name[i+len(sep):], ",")
			return name[:i], letters
		}
	}
	return name, ""
}

// Flags are the flags that the letters stand for, sorted. Letters that stand for
// nothing are passed over.
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

// maxFileName is how many octets a file's name may have.
const maxFileName = 255

// Dir is the directory of a mailbox below the root, whose levels are called as
// directories of the archive are; "." is the root itself. It is an error where no
// file system takes the name.
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

// escapeReserved writes the first octet of a name that a Maildir has for itself as %XX.
func escapeReserved(name string) string {
	own := slices.Contains(Folders(), name) || strings.HasPrefix(name, "dovecot") || strings.HasPrefix(name, "~") ||
		name == "subscriptions" || name == FolderName
	if !own {
		return name
	}
	return fmt.Sprintf("%%%02X", name[0]) + name[1:]
}

// Levels are the levels of the mailbox in directory dir of Maildir++, or of the
// nested layout; as directories of the archive are called, if archiverd made them.
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
