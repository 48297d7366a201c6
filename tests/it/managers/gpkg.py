# Makes signed binary packages of Gentoo (GLEP 78): gpkg.py MIRROR GNUPGHOME < packages.json
import bz2, hashlib, io, json, os, subprocess, sys, tarfile

mirror, home = sys.argv[1:]


def add(tar, name, data):
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = len(data), 0o644, 1700000000
    tar.addfile(info, io.BytesIO(data))


def packed(fill):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        fill(tar)
    return subprocess.run(["zstd", "-qc"], input=out.getvalue(), stdout=subprocess.PIPE, check=True).stdout


def signed(data, how):
    gpg = ["gpg", "--homedir", home, "--batch", "--quiet", "--armor", how]
    return subprocess.run(gpg, input=data, stdout=subprocess.PIPE, check=True).stdout


def package(one, path):
    fields = {k: v.encode() + b"\n" for k, v in one["fields"].items()}
    fields["environment.bz2"] = bz2.compress(one["environment"].encode())
    every = [("gpkg-1", b"")]
    metadata = packed(lambda tar: [add(tar, "metadata/" + k, v) for k, v in sorted(fields.items())])
    for name, data in [("metadata.tar.zst", metadata), ("image.tar.zst", packed(lambda tar: tar.add(one["tree"], "image")))]:
        every += [(name, data)] + ([(name + ".sig", signed(data, "--detach-sign"))] if one["signed"] else [])
    hashes = lambda d: f"BLAKE2B {hashlib.blake2b(d).hexdigest()} SHA512 {hashlib.sha512(d).hexdigest()}"
    manifest = "".join(f"DATA {n} {len(d)} {hashes(d)}\n" for n, d in every).encode()
    every.append(("Manifest", signed(manifest, "--clear-sign") if one["signed"] else manifest))
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        for name, data in every:
            add(tar, f"{one['fields']['PF']}-1/{name}", data)


index = "CHOST: x86_64-pc-linux-gnu\nTIMESTAMP: 1795277212\nVERSION: 0\n\n"
for one in json.load(sys.stdin):
    path = os.path.join(mirror, one["path"])
    os.path.exists(path) or package(one, path)
    data = open(path, "rb").read()
    lines = dict(one["fields"], REPO="gentoo", PATH=one["path"], SIZE=str(len(data)), SHA1=hashlib.sha1(data).hexdigest())
    lines["CPV"] = one["fields"]["CATEGORY"] + "/" + one["fields"]["PF"]
    index += "".join(f"{k}: {v}\n" for k, v in sorted(lines.items()) if v and "\n" not in v) + "\n"
open(os.path.join(mirror, "Packages"), "w").write(index)
open(os.path.join(mirror, "Packages.asc"), "wb").write(signed(index.encode(), "--detach-sign"))
