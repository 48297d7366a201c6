"""Files for language models: a Model Context Protocol server over HTTP, on port 7300.

It lists and reads what lies below /usr/share/borgos/files and /srv/borgos, and writes nothing.
"""

import http.server
import json
import pathlib

ROOTS = [pathlib.Path("/srv/borgos"), pathlib.Path("/usr/share/borgos/files")]
LARGEST = 1 << 20
TOOLS = [
    {
        "name": name,
        "description": description,
        "inputSchema": {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
    }
    for name, description in [("list_directory", "List a folder"), ("read_file", "Read a text file")]
]


def allowed(text):
    """The path, if it lies in a root once all links are followed."""
    path = pathlib.Path(text).resolve()
    if not any(path == root or root in path.parents for root in ROOTS):
        raise ValueError(f"{text} is outside of {', '.join(map(str, ROOTS))}")
    return path


def call(name, arguments):
    path = allowed(arguments["path"])
    if name == "list_directory":
        return "\n".join(sorted(entry.name for entry in path.iterdir()))
    if name == "read_file":
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(LARGEST)
    raise ValueError(f"there is no tool {name}")


def answer(request):
    method, params = request.get("method"), request.get("params") or {}
    if method == "initialize":
        info = {"name": "borgos-fs", "version": "1"}
        version = params.get("protocolVersion", "2025-03-26")
        return {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": info}
    if method == "ping":
        return {}
    if method == "tools/list":
        return {"tools": TOOLS}
    if method == "tools/call":
        try:
            text, wrong = call(params.get("name"), params.get("arguments") or {}), False
        except (KeyError, OSError, ValueError) as error:
            text, wrong = str(error), True
        return {"content": [{"type": "text", "text": text}], "isError": wrong}
    return None


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        length = min(int(self.headers.get("Content-Length") or 0), LARGEST)
        try:
            request = json.loads(self.rfile.read(length))
            if not isinstance(request, dict):
                raise ValueError("one request at a time")
        except ValueError as error:
            return self.reply({"error": {"code": -32700, "message": str(error)}, "id": None})
        if "id" not in request:
            self.send_response(202)
            self.end_headers()
            return None
        result = answer(request)
        if result is None:
            missing = {"code": -32601, "message": f"there is no method {request.get('method')}"}
            return self.reply({"error": missing, "id": request["id"]})
        return self.reply({"result": result, "id": request["id"]})

    def reply(self, body):
        data = json.dumps({"jsonrpc": "2.0", **body}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


if __name__ == "__main__":
    http.server.ThreadingHTTPServer(("0.0.0.0", 7300), Handler).serve_forever()
