package search

import (
	"bytes"
	"os"

	"archiverd/archive"
	"archiverd/internal/durable"
)

// checkReplaceable returns an error that wraps durable.ErrForeign unless the file at path
// may be used as an index and replaced: it is missing, blank, has a name of the archive's
// own, or is an index that this package has made.
func checkReplaceable(path string) error {
	return archive.CheckReplaceable(path, isIndex)
}

// maxSQLitePage is the size of SQLite's largest page in octets. The first page has the
// text of the first tables.
const maxSQLitePage = 64 << 10

// isIndex reports whether a file is an SQLite file whose tables are those of an index.
// SQLite does not open it: it would roll back somebody's transaction.
func isIndex(f *os.File) (bool, error) {
	head, err := durable.ReadHead(f, maxSQLitePage)
	return bytes.HasPrefix(head, []byte("SQLite format 3\x00")) && bytes.Contains(head, []byte(createMeta)), err
}

// isRollbackJournal reports whether a file is a rollback journal of SQLite: it begins with
// the journal's magic, or with zeros while nothing is to be rolled back.
func isRollbackJournal(f *os.File) (bool, error) {
	head, err := durable.ReadHead(f, 8)
	return string(head) == "\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" || string(head) == "\x00\x00\x00\x00\x00\x00\x00\x00", err
}

// removeIndex removes an index that archiverd has made, with its rollback journal and its
// checksums.
func removeIndex(path string) error {
	if err := checkReplaceable(path); err != nil {
		return err
	}
	if err := archive.CheckReplaceable(path+"-journal", isRollbackJournal); err != nil {
		return err
	}
	if err := checkSumsReplaceable(path); err != nil {
		return err
	}
	// Remove the index before its rollback journal. A journal that remains would be
	// rolled back into the next index.
	for _, suffix := range []string{"", "-journal", sumsSuffix} {
		if err := removeIfExists(path + suffix); err != nil {
			return err
		}
	}
	return nil
}
