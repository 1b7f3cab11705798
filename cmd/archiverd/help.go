package main

import (
	"embed"
	"strings"

	"github.com/spf13/cobra"
)

// helpFiles are the help texts: help/COMMAND.txt with the text and, behind a line
// "Examples:", the examples of a command. A line {{NAME}} stands for the text of
// help/parts/NAME.txt, which several commands share.
//
//go:embed help
var helpFiles embed.FS

// exitHelp ends every help text.
const exitHelp = `
Exit status: 0 all well · 1 something failed, the rest was done · 2 usage or
configuration · 3 another archiverd holds the archive · 4 verification found damage`

// setHelp sets the help text and the examples of a command. It panics if the command
// has no file.
func setHelp(cmd *cobra.Command) {
	_, below, _ := strings.Cut(cmd.CommandPath(), " ")
	name := strings.ReplaceAll(below, " ", "_")
	if name == "" {
		name = cmd.Name()
	}
	text, examples, _ := strings.Cut(readHelp(name), "\nExamples:\n")
	cmd.Long = text + exitHelp
	cmd.Example = strings.TrimSuffix(examples, "\n")
}

// readHelp returns the text of a file of helpFiles with its parts put in.
func readHelp(name string) string {
	b, err := helpFiles.ReadFile("help/" + name + ".txt")
	if err != nil {
		panic(err) // the build lacks a file; TestGoldenHelp prints them all
	}
	var out strings.Builder
	for line := range strings.Lines(string(b)) {
		if part, ok := strings.CutPrefix(line, "{{"); ok {
			line = readHelp("parts/" + strings.TrimSuffix(part, "}}\n"))
		}
		out.WriteString(line)
	}
	return out.String()
}
