#!/bin/sh
# Fetches the language model that ollama.conf names, where Ollama is installed.
set -u
MODEL='' OLLAMA_HOST=127.0.0.1:11434
. /etc/bootwright/ollama.conf
export OLLAMA_HOST HOME=/root
if ! command -v ollama >/dev/null; then
    echo "ollama-model: Ollama is not installed; $MODEL is fetched once it is"
    exit 1
fi
ollama show "$MODEL" >/dev/null 2>&1 || ollama pull "$MODEL"
