"""The loop that everybody writes first: a FETCH a message, and a file for it."""
import imaplib, os, ssl, sys

host, port, ca, user, password, dest = sys.argv[1:]
m = imaplib.IMAP4_SSL(host, int(port), ssl_context=ssl.create_default_context(cafile=ca))
m.login(user, password)
for line in m.list()[1]:
    attributes, name = line.decode().split(' "/" ', 1)
    if "\\Noselect" in attributes:
        continue
    folder = os.path.join(dest, name.strip('"').replace("/", "."))
    os.makedirs(folder, exist_ok=True)
    m.select(name, readonly=True)
    for uid in m.uid("SEARCH", None, "ALL")[1][0].decode().split():
        path = os.path.join(folder, uid + ".eml")
        if not os.path.exists(path):
            with open(path, "wb") as f:
                f.write(m.uid("FETCH", uid, "(BODY.PEEK[])")[1][0][1])
m.logout()
