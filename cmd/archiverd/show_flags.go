package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"archiverd/internal/message"
	"archiverd/internal/ui"
)

// showFlags say what of a message is printed. show and remote show have them.
type showFlags struct {
	raw       bool
	part      int
	save      string
	allFields bool
	html      bool
	isGiven   func(flag string) bool
}

func (s *showFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&s.raw, "raw", false, "write the octets of the message")
	f.IntVar(&s.part, "part", 0, "write the octets of part `N`, decoded")
	f.StringVar(&s.save, "save", "", "save the attachments, or part N, into `DIR`")
	f.BoolVar(&s.allFields, "all-headers", false, "print every header field, decoded")
	f.BoolVar(&s.html, "html", false, "show the HTML instead of the plain text")
	s.isGiven = f.Changed
	cmd.MarkFlagsMutuallyExclusive("raw", "part", "json")
	for _, octets := range []string{"raw", "part", "save"} {
		cmd.MarkFlagsMutuallyExclusive(octets, "all-headers")
		cmd.MarkFlagsMutuallyExclusive(octets, "html")
	}
	cmd.MarkFlagsMutuallyExclusive("save", "raw")
	cmd.MarkFlagsMutuallyExclusive("save", "json")
}

// check returns a usage error for values that no message can have.
func (s showFlags) check() error {
	switch {
	case s.isGiven("part") && s.part < 1:
		return usage(fmt.Errorf("--part %d: parts are numbered from 1", s.part))
	case s.isGiven("save") && s.save == "":
		return usage(errors.New("--save: name a directory, . for this one"))
	}
	return nil
}

// writeOctets writes the octets of message f, or of a part, or saves parts, as the flags
// say. done is false if the flags ask for none of that.
func (a *app) writeOctets(f io.Reader, flags showFlags) (done bool, err error) {
	switch {
	case flags.raw:
		_, err := io.Copy(a.out, f)
		return true, err
	case flags.save != "":
		return true, explainNoPart(a.saveParts(f, flags.save, flags.part), flags.part)
	case flags.part != 0:
		if ui.IsTerminal(a.out) {
			return true, usage(fmt.Errorf("part %d is not shown, as its octets could change the terminal: redirect it to a file, or use --save DIR", flags.part))
		}
		return true, explainNoPart(message.WritePart(a.out, f, flags.part, message.Options{}), flags.part)
	}
	return false, nil
}

// explainNoPart adds to a message.ErrNoPart how to list the parts.
func explainNoPart(err error, part int) error {
	if errors.Is(err, message.ErrNoPart) {
		return usage(fmt.Errorf("part %d: %w; the same command without --part lists them", part, message.ErrNoPart))
	}
	return err
}

// readMessage reads a message to be printed. Only the text for people has marks where its
// parts are.
func (a *app) readMessage(f io.Reader, flags showFlags) (*message.Message, error) {
	return message.Read(f, message.Options{PreferHTML: flags.html, MarkParts: !a.json})
}
