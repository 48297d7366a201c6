# Makes signed packages of Alpine (apk's second format) and their index: apk.py MIRROR KEY NAME < packages.json
import base64, hashlib, io, json, os, subprocess, sys, tarfile, zlib

mirror, key, name = sys.argv[1:]

def gzipped(data):
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return packer.compress(data) + packer.flush()

def tar(fill, end=False):
    out = io.BytesIO()
    archive = tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT)
    fill(archive)
    cut = archive.offset
    archive.close()
    # All parts but the last one come without the end of an archive: together they are one.
    return gzipped(out.getvalue() if end else out.getvalue()[:cut])

def add(archive, path, data, mode=0o644):
    info = tarfile.TarInfo(path)
    info.size, info.mode, info.mtime = len(data), mode, 1700000000
    archive.addfile(info, io.BytesIO(data))

def own(info):
    info.uid = info.gid = 0
    info.uname = info.gname = "root"
    data = open(os.path.join(tree, info.name), "rb").read() if info.isreg() else info.linkname.encode() if info.issym() else None
    if data is not None:
        info.pax_headers["APK-TOOLS.checksum.SHA1"] = hashlib.sha1(data).hexdigest()
    return info

def signed(part):
    signature = subprocess.run(["openssl", "dgst", "-sha1", "-sign", key], input=part, stdout=subprocess.PIPE, check=True).stdout
    return tar(lambda archive: add(archive, ".SIGN.RSA." + name, signature)) + part

index = ""
for one in json.load(sys.stdin):
    tree, path = one["tree"], os.path.join(mirror, f"{one['name']}-1-r0.apk")
    data = tar(lambda archive: [archive.add(os.path.join(tree, e), e, filter=own) for e in sorted(os.listdir(tree))], True)
    info = "".join(f"{k} = {v}\n" for k, v in [("pkgname", one["name"]), ("pkgver", "1-r0"), ("pkgdesc", "a test"), ("url", "about:blank"), ("builddate", "1700000000"), ("size", "1"), ("arch", "x86_64"), ("license", "MIT")] + [("depend", d) for d in one["depends"]] + [("provides", p) for p in one["provides"]])
    info += f"datahash = {hashlib.sha256(data).hexdigest()}\n"
    script = [(".post-install", one["script"].encode(), 0o755)] if one["script"] else []
    control = tar(lambda archive: [add(archive, *entry) for entry in [(".PKGINFO", info.encode())] + script])
    os.path.exists(path) or open(path, "wb").write((signed(control) if one["signed"] else control) + data)
    lines = {"C": "Q1" + base64.b64encode(hashlib.sha1(control).digest()).decode(), "P": one["name"], "V": "1-r0", "A": "x86_64", "S": os.path.getsize(path), "I": 1, "T": "a test", "L": "MIT", "t": 1700000000, "D": " ".join(one["depends"]), "p": " ".join(one["provides"])}
    index += "".join(f"{k}:{v}\n" for k, v in lines.items() if v) + "\n"
listing = tar(lambda archive: [add(archive, "DESCRIPTION", b"test"), add(archive, "APKINDEX", index.encode())], True)
open(os.path.join(mirror, "APKINDEX.tar.gz"), "wb").write(signed(listing))
