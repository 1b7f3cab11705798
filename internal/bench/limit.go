package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// The first argument that makes this program the limit, or the limit of what lasts.
const (
	limitWord   = "limit"
	durableWord = "durable-limit"
)

// isLimit says whether this process was started as a limit, which it then has been.
func isLimit() bool {
	if len(os.Args) != 7 || os.Args[1] != limitWord && os.Args[1] != durableWord {
		return false
	}
	if err := limit(os.Args[1] == durableWord, os.Args[2], os.Args[3], os.Args[4], os.Args[5], os.Args[6]); err != nil {
		fmt.Fprintln(os.Stderr, "limit:", err)
		os.Exit(1)
	}
	return true
}

// limit is as fast as a client of one connection can be that only reads and writes:
// it asks for everything in one flight and writes a file a message. It checks
// nothing, syncs nothing and keeps no more than UIDNEXT of each mailbox.
//
// If it is to be durable, it does what an archive's format asks of whoever writes it, and no
// more: files with their time in tmp, a sync, names in months, a sync.
func limit(durable bool, addr, ca, username, password, dir string) error {
	pem, err := os.ReadFile(ca)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	conn, err := tls.Dial("tcp", addr, &tls.Config{ServerName: host, RootCAs: roots})
	if err != nil {
		return err
	}
	defer conn.Close()
	l := limiter{conn: conn, r: bufio.NewReaderSize(conn, 128<<10), dir: dir, durable: durable, next: map[string]int{}}
	known := map[string]int{}
	if text, err := os.ReadFile(filepath.Join(dir, "known")); err == nil {
		err = json.Unmarshal(text, &known)
		if err != nil {
			return err
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if _, err := l.r.ReadString('\n'); err != nil { // the greeting
		return err
	}
	if err := l.ask(fmt.Sprintf("LOGIN %s %q", username, password)); err != nil {
		return err
	}
	if err := l.ask(`LIST "" "*" RETURN (STATUS (UIDNEXT))`); err != nil {
		return err
	}
	var flight []string
	for name, next := range l.next {
		if from := max(known[name], 1); next > from {
			flight = append(flight, "EXAMINE "+name, fmt.Sprintf("UID FETCH %d:* (UID INTERNALDATE BODY.PEEK[])", from))
		}
	}
	if len(flight) > 0 {
		if err := l.ask(flight...); err != nil {
			return err
		}
	}
	if err := l.name(); err != nil {
		return err
	}
	text, err := json.Marshal(l.next)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "known"), text, 0o600)
}

// limiter is a limit under way.
type limiter struct {
	conn  net.Conn
	r     *bufio.Reader
	dir   string
	next  map[string]int // UIDNEXT by mailbox, as the server writes its name
	boxes int            // opened until now

	durable bool
	moves   [][2]string // of received files to their names
}

// ask sends commands in one write and reads until all are answered.
func (l *limiter) ask(commands ...string) error {
	if _, err := l.conn.Write([]byte("a " + strings.Join(commands, "\r\na ") + "\r\n")); err != nil {
		return err
	}
	for answers := 0; answers < len(commands); {
		line, err := l.r.ReadString('\n')
		if err != nil {
			return err
		}
		line = strings.TrimRight(line, "\r\n")
		switch {
		case strings.HasPrefix(line, "a OK"):
			answers++
		case strings.HasPrefix(line, "a "):
			return errors.New(line)
		case strings.HasPrefix(line, "* STATUS "):
			name, items, _ := strings.Cut(line[len("* STATUS "):], " (UIDNEXT ")
			if l.next[name], err = strconv.Atoi(strings.TrimRight(items, ")")); err != nil {
				return err
			}
		case strings.HasPrefix(line, "* FLAGS"): // EXAMINE
			l.boxes++
			if err := os.MkdirAll(filepath.Join(l.dir, strconv.Itoa(l.boxes)), 0o700); err != nil {
				return err
			}
		case strings.HasSuffix(line, "}") && strings.Contains(line, "BODY[] {"):
			if err := l.body(line); err != nil {
				return err
			}
		}
	}
	return nil
}

// body writes the message that line announces to a file.
func (l *limiter) body(line string) error {
	var number, uid int
	var size int64
	head, date, _ := strings.Cut(line, ` INTERNALDATE "`)
	date, tail, _ := strings.Cut(date, `"`)
	if _, err := fmt.Sscanf(head+tail, "* %d FETCH (UID %d BODY[] {%d}", &number, &uid, &size); err != nil {
		return fmt.Errorf("%q: %w", line, err)
	}
	// By the process, for a later run numbers the mailboxes in another way.
	name := fmt.Sprintf("%d.%d.eml", os.Getpid(), uid)
	box := filepath.Join(l.dir, strconv.Itoa(l.boxes))
	if !l.durable {
		return l.write(filepath.Join(box, name), size)
	}
	at, err := time.Parse("_2-Jan-2006 15:04:05 -0700", date)
	if err != nil {
		return err
	}
	tmp := filepath.Join(box, "tmp", name)
	l.moves = append(l.moves, [2]string{tmp, filepath.Join(box, at.UTC().Format("2006-01"), name)})
	err = l.write(tmp, size)
	if errors.Is(err, fs.ErrNotExist) { // the mailbox's first
		if err = os.MkdirAll(filepath.Dir(tmp), 0o700); err == nil {
			err = l.write(tmp, size)
		}
	}
	return errors.Join(err, os.Chtimes(tmp, at, at))
}

// write copies the next size octets to a file.
func (l *limiter) write(path string, size int64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.CopyN(f, l.r, size)
	return errors.Join(err, f.Close())
}

// name syncs what was received and gives it its names.
func (l *limiter) name() error {
	if len(l.moves) == 0 {
		return nil
	}
	if err := settle(l.dir); err != nil {
		return err
	}
	made := map[string]bool{}
	for _, m := range l.moves {
		if month := filepath.Dir(m[1]); !made[month] {
			if err := os.MkdirAll(month, 0o700); err != nil {
				return err
			}
			made[month] = true
		}
		if err := os.Rename(m[0], m[1]); err != nil {
			return err
		}
	}
	return settle(l.dir)
}
