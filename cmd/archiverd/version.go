package main

import (
	_ "embed"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// thirdPartyLicenses are the licences of what is linked in; scripts/licenses makes them.
//
//go:embed licenses.txt
var thirdPartyLicenses string

func (a *app) versionCommand() *cobra.Command {
	var licenses bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		RunE: func(*cobra.Command, []string) error {
			if licenses {
				_, err := io.WriteString(a.out, thirdPartyLicenses)
				return err
			}
			_, err := fmt.Fprintf(a.out, "archiverd %s (%s, %s/%s)\n", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
	cmd.Flags().BoolVar(&licenses, "licenses", false, "print the licences of the works of others in archiverd")
	return cmd
}

// version is the release or commit that the build recorded.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	if v == "" {
		v = "(devel)"
	}
	return v
}
