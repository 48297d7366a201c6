"""The dashboard of BorgOS: what this machine is and runs, on port 6969."""

import pathlib
import platform
import socket
import subprocess

import flask
import waitress

app = flask.Flask(__name__)
SERVICES = ["nginx", "ssh", "borgos-fs", "redis-server", "prometheus-node-exporter", "ollama"]
PAGE = """<!doctype html><title>BorgOS on {{ host }}</title>
<h1>BorgOS on {{ host }}</h1>
<p>{{ kernel }}, up {{ hours }} h, offline model {{ model }}</p>
<ul>{% for name, state in services %}<li>{{ name }}: {{ state }}</li>{% endfor %}</ul>"""


def offline_model():
    """The model that the image names; it is fetched once Ollama is there."""
    settings = pathlib.Path("/etc/bootwright/ollama.conf").read_text(encoding="utf-8")
    lines = dict(line.split("=", 1) for line in settings.splitlines() if "=" in line and line[0] != "#")
    return lines.get("MODEL", "none")


def status():
    def state(name):
        answer = subprocess.run(["systemctl", "is-active", name], capture_output=True, text=True, check=False)
        return name, answer.stdout.strip() or "unknown"

    uptime = float(pathlib.Path("/proc/uptime").read_text(encoding="ascii").split()[0])
    return {
        "host": socket.gethostname(),
        "kernel": platform.release(),
        "hours": round(uptime / 3600, 1),
        "model": offline_model(),
        "services": [state(name) for name in SERVICES],
    }


@app.get("/")
def page():
    return flask.render_template_string(PAGE, **status())


@app.get("/api/status")
def api_status():
    return flask.jsonify(status())


if __name__ == "__main__":
    waitress.serve(app, host="0.0.0.0", port=6969)
