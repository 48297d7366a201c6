uci set system.@system[0].hostname=cellar-router
uci commit system
