package archive

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"archiverd/internal/uid"
)

// The lines of a journal as they are written: one struct per kind, so that the fields
// have the order of the format.
type (
	openedLine struct {
		Event       Kind     `json:"event"`
		V           int      `json:"v"`
		At          string   `json:"at"`
		Journal     string   `json:"journal"`
		Mailbox     string   `json:"mailbox"`
		Wire        string   `json:"wire,omitempty"` // base64 of the octets of an undecodable name
		Delimiter   string   `json:"delimiter"`
		UIDValidity uint32   `json:"uidvalidity"`
		Attrs       []string `json:"attrs"`
		Imported    bool     `json:"imported,omitempty"`
		Server      string   `json:"server,omitempty"`
		User        string   `json:"user,omitempty"`
	}
	addedLine struct {
		Event        Kind     `json:"event"`
		At           string   `json:"at"`
		UID          uint32   `json:"uid"`
		Path         string   `json:"path"`
		Size         int64    `json:"size"`
		SHA256       Sum      `json:"sha256"`
		InternalDate string   `json:"internaldate,omitempty"`
		Flags        []string `json:"flags"`
		Matched      string   `json:"matched,omitempty"`
		Compared     Sum      `json:"compared,omitzero"`
		EmailID      string   `json:"emailid,omitempty"`
		Labels       []string `json:"labels,omitzero"`
		Announced    *int64   `json:"announced,omitempty"`
	}
	flagsLine struct {
		Event Kind     `json:"event"`
		At    string   `json:"at"`
		UID   uint32   `json:"uid"`
		Flags []string `json:"flags"`
	}
	goneLine struct {
		Event Kind   `json:"event"`
		At    string `json:"at"`
		UIDs  string `json:"uids"`
	}
	failedLine struct {
		Event     Kind   `json:"event"`
		At        string `json:"at"`
		UID       uint32 `json:"uid"`
		Reason    string `json:"reason"`
		Announced *int64 `json:"announced,omitempty"`
		Path      string `json:"path,omitempty"`
		Size      *int64 `json:"size,omitempty"`
		SHA256    Sum    `json:"sha256,omitzero"`
	}
	vanishedLine struct {
		Event Kind   `json:"event"`
		At    string `json:"at"`
	}
)

// encodeTo writes the line of e with its line feed. The error says which field can't
// be written.
func (e *Event) encodeTo(b *bytes.Buffer) error {
	if err := e.validate(); err != nil {
		return fmt.Errorf("encode %w", err)
	}
	at := e.At.UTC().Format(time.RFC3339)
	var line any
	switch e.Kind {
	case Opened:
		l := openedLine{Opened, e.V, at, e.Journal, e.Name.Mailbox, "", e.Name.Delimiter, e.UIDValidity, nonNil(e.Attrs), e.Imported, e.Server, e.User}
		if e.Name.Raw {
			l.Wire = base64.StdEncoding.EncodeToString([]byte(e.Name.Mailbox))
		}
		line = l
	case Added:
		l := addedLine{Added, at, e.UID, e.Path, e.Size, e.Sum, "", nonNil(e.Flags), e.Matched, e.Expected, e.EmailID, e.Labels, e.Announced}
		if !e.InternalDate.IsZero() {
			l.InternalDate = e.InternalDate.Format(time.RFC3339)
		}
		line = l
	case Flags:
		line = flagsLine{Flags, at, e.UID, nonNil(e.Flags)}
	case Gone:
		line = goneLine{Gone, at, e.UIDs.String()}
	case Failed:
		l := failedLine{Event: Failed, At: at, UID: e.UID, Reason: e.Reason, Announced: e.Announced}
		if e.HasFile() {
			l.Path, l.Size, l.SHA256 = e.Path, &e.Size, e.Sum
		}
		line = l
	case Vanished:
		line = vanishedLine{Vanished, at}
	default:
		return fmt.Errorf("event of unknown kind %q", e.Kind)
	}
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false) // a person reads this
	return enc.Encode(line)
}

// decodeEvent decodes one line without its line feed. Unknown kinds and fields are no
// error: an event of an unknown kind has Kind and At only.
func decodeEvent(line []byte) (Event, error) {
	if e, ok := decodeAddedFast(line); ok {
		return e, nil
	}
	return decodeJSON(line)
}

// jsonLine is a line of any kind. Fields that it lacks are ignored.
type jsonLine struct {
	Event        Kind     `json:"event"`
	V            int      `json:"v"`
	At           string   `json:"at"`
	Journal      string   `json:"journal"`
	Mailbox      string   `json:"mailbox"`
	Wire         string   `json:"wire"`
	Delimiter    string   `json:"delimiter"`
	UIDValidity  uint32   `json:"uidvalidity"`
	Attrs        []string `json:"attrs"`
	Imported     bool     `json:"imported"`
	Server       string   `json:"server"`
	User         string   `json:"user"`
	UID          uint32   `json:"uid"`
	UIDs         string   `json:"uids"`
	Path         string   `json:"path"`
	Size         int64    `json:"size"`
	SHA256       *Sum     `json:"sha256"`
	InternalDate string   `json:"internaldate"`
	Flags        []string `json:"flags"`
	Matched      string   `json:"matched"`
	Compared     Sum      `json:"compared"`
	EmailID      string   `json:"emailid"`
	Labels       []string `json:"labels"`
	Announced    *int64   `json:"announced"`
	Reason       string   `json:"reason"`
	Seal         string   `json:"seal"`
}

// decodeJSON is decodeEvent for lines of every form.
func decodeJSON(line []byte) (Event, error) {
	var l jsonLine
	if err := json.Unmarshal(line, &l); err != nil {
		return Event{}, fmt.Errorf("decode: %w", err)
	}
	e := Event{Kind: l.Event}
	if e.Kind == Sealed {
		e.seal = l.Seal
		return e, nil
	}
	err := decodeTime("at", l.At, &e.At)
	if err == nil {
		err = l.decodeFields(&e)
	}
	if err == nil {
		err = e.validate()
	}
	if err != nil {
		return Event{}, fmt.Errorf("decode %w", err)
	}
	return e, nil
}

// decodeTime sets t to a time in RFC 3339 form; an empty text leaves it zero.
func decodeTime(field, text string, t *time.Time) (err error) {
	if text == "" {
		return nil
	}
	if *t, err = time.Parse(time.RFC3339, text); err != nil {
		return fmt.Errorf("%s: %w", field, err)
	}
	return nil
}

// decodeFields sets the fields of the event's kind.
func (l *jsonLine) decodeFields(e *Event) (err error) {
	switch e.Kind {
	case Opened:
		e.V, e.Journal, e.UIDValidity, e.Attrs, e.Imported = l.V, l.Journal, l.UIDValidity, l.Attrs, l.Imported
		e.Server, e.User = l.Server, l.User
		e.Name = Name{Mailbox: l.Mailbox, Delimiter: l.Delimiter}
		if l.Wire != "" {
			octets, err := base64.StdEncoding.DecodeString(l.Wire)
			if err != nil {
				return fmt.Errorf("wire: %w", err)
			}
			e.Name.Mailbox, e.Name.Raw = string(octets), true
		}
	case Added:
		if l.SHA256 == nil {
			return errors.New("added: no sha256")
		}
		e.UID, e.Path, e.Size, e.Sum, e.Matched = l.UID, l.Path, l.Size, *l.SHA256, l.Matched
		e.Expected, e.EmailID, e.Labels, e.Announced = l.Compared, l.EmailID, l.Labels, l.Announced
		e.Flags = nonNil(l.Flags)
		return decodeTime("internaldate", l.InternalDate, &e.InternalDate)
	case Flags:
		e.UID, e.Flags = l.UID, nonNil(l.Flags)
	case Gone:
		if e.UIDs, err = uid.Parse(l.UIDs); err != nil {
			return fmt.Errorf("gone: %w", err)
		}
	case Failed:
		e.UID, e.Reason, e.Announced = l.UID, l.Reason, l.Announced
		if l.Path != "" {
			if l.SHA256 == nil {
				return errors.New("failed: path without sha256")
			}
			e.Path, e.Size, e.Sum = l.Path, l.Size, *l.SHA256
		}
	}
	return nil
}

// nonNil returns list, or an empty list for nil, which JSON would write as null.
func nonNil(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}
