-- What scripts find in a Lua state. Runs once, before any script.
--
-- `raw` holds the functions written in Rust. The chunk's environment is `env`, which becomes the globals of all scripts at the end;
-- so no function that a script can reach leads to the globals of the state itself.

local raw, env, globals = ...

local error, type, rawget, rawset, select = globals.error, globals.type, globals.rawget, globals.rawset, globals.select
local setmetatable, getmetatable, unpack = globals.setmetatable, globals.getmetatable, globals.unpack
local native_pcall, native_xpcall, tostring = globals.pcall, globals.xpcall, globals.tostring
local loadstring, native_pairs, setfenv = globals.loadstring, globals.pairs, globals.setfenv
local collectgarbage, next, newproxy = globals.collectgarbage, globals.next, globals.newproxy
local string, table, coroutine = globals.string, globals.table, globals.coroutine

-- Tables that cannot be changed.

local READONLY = 'Attempt to modify a readonly table'

-- From the table that scripts see, which is empty, to the one with the contents.
local protected = setmetatable({}, { __mode = 'k' })

local function refuse()
  error(READONLY, 2)
end

local no_metatable = {}

local function protect(contents, face)
  face = face or {}
  protected[face] = contents
  return setmetatable(face, { __index = contents, __newindex = refuse, __metatable = no_metatable })
end

protect({}, no_metatable)

local function missing(_, name)
  local kind = type(name)
  if kind ~= 'string' and kind ~= 'number' then
    error('Second argument to luaProtectedTableError must be a string or number', 2)
  end
  error("Script attempted to access nonexistent global variable '" .. name .. "'", 2)
end

-- Errors. Once a script has been killed, nothing catches the error any more.

local killed = raw.killed

local function settle(ok, failure, ...)
  if ok then return ok, failure, ... end
  if killed() then error(failure, 0) end
  if type(failure) == 'table' then
    local text = rawget(failure, 'err')
    if type(text) == 'string' then return false, text end
  elseif type(failure) == 'userdata' then
    return false, raw.text_of(failure)
  end
  return false, failure, ...
end

local function pcall(...)
  return settle(native_pcall(...))
end

local function settle_handled(ok, failure, ...)
  if not ok and killed() then error(failure, 0) end
  return ok, failure, ...
end

local function xpcall(f, handler)
  return settle_handled(native_xpcall(f, handler))
end

local resume = coroutine.resume
local coroutines = {}
for name, f in native_pairs(coroutine) do coroutines[name] = f end
coroutines.resume = function(...)
  return settle_handled(resume(...))
end

-- The server.

local common = raw.constants
common.log = raw.log

local server = {}
for name, value in native_pairs(common) do server[name] = value end
server.call = raw.call
server.pcall = raw.pcall
server.setresp = raw.setresp
server.sha1hex = raw.sha1hex
server.error_reply = raw.error_reply
server.status_reply = raw.status_reply
server.set_repl = raw.set_repl
server.acl_check_cmd = raw.acl_check_cmd
server.REPL_NONE, server.REPL_AOF, server.REPL_SLAVE, server.REPL_REPLICA, server.REPL_ALL = 0, 1, 2, 2, 3

local eval_server = {}
for name, value in native_pairs(server) do eval_server[name] = value end
eval_server.replicate_commands = function() return true end
eval_server.breakpoint = function() return false end
eval_server.debug = function() end

-- Strings. Patterns are matched in Rust, in steps that are counted.

local match_at = raw.match
string.find = raw.find
string.match = raw.first_match

string.gmatch = function(text, pattern)
  local at = 0
  if type(text) == 'number' then text = tostring(text) end
  local function step()
    local found = { match_at(text, pattern, at) }
    local first, after = found[1], found[2]
    if not first then return nil end
    at = after > first and after or after + 1
    return unpack(found, 3)
  end
  if type(text) ~= 'string' then
    error("bad argument #1 to 'gmatch' (string expected, got " .. (text == nil and 'no value' or type(text)) .. ')', 2)
  end
  return step
end
string.gfind = string.gmatch

local expand, substring, concat = raw.expand, string.sub, table.concat

string.gsub = function(text, pattern, replacement, limit)
  local kind = type(replacement)
  if kind == 'number' then
    replacement, kind = tostring(replacement), 'string'
  elseif kind ~= 'string' and kind ~= 'table' and kind ~= 'function' then
    error("bad argument #3 to 'gsub' (string/function/table expected)", 2)
  end
  if type(text) == 'number' then text = tostring(text) end
  if type(text) ~= 'string' then
    error("bad argument #1 to 'gsub' (string expected, got " .. (text == nil and 'no value' or type(text)) .. ')', 2)
  end
  if type(pattern) == 'number' then pattern = tostring(pattern) end
  if type(pattern) ~= 'string' then
    error("bad argument #2 to 'gsub' (string expected, got " .. (pattern == nil and 'no value' or type(pattern)) .. ')', 2)
  end
  local parts, count, at, copied, length = {}, 0, 0, 0, #text
  local anchored = substring(pattern, 1, 1) == '^'
  while (not limit or count < limit) and at <= length do
    local found = { match_at(text, pattern, at) }
    local first, after = found[1], found[2]
    if not first then break end
    local whole = substring(text, first + 1, after)
    local value
    if kind == 'function' then
      value = replacement(unpack(found, 3))
    elseif kind == 'table' then
      value = replacement[found[3]]
    else
      value = expand(replacement, whole, unpack(found, 3))
    end
    if not value then
      value = whole
    elseif type(value) ~= 'string' and type(value) ~= 'number' then
      error('invalid replacement value (a ' .. type(value) .. ')', 2)
    end
    count = count + 1
    parts[#parts + 1] = substring(text, copied + 1, first)
    parts[#parts + 1] = value
    copied = after
    at = after > first and after or after + 1
    if anchored then break end
  end
  parts[#parts + 1] = substring(text, copied + 1)
  return concat(parts), count
end

-- What may be seen of the rest.

local function copy(from, ...)
  local to = {}
  for at = 1, select('#', ...) do
    local name = select(at, ...)
    to[name] = from[name]
  end
  return to
end

local math = {}
for name, f in native_pairs(globals.math) do math[name] = f end
math.random = raw.random
math.randomseed = raw.randomseed

local tables = {}
for name, f in native_pairs(table) do tables[name] = f end
local insert = table.insert
tables.insert = function(list, ...)
  if protected[list] then error(READONLY, 2) end
  return insert(list, ...)
end

local libraries = {
  string = string,
  table = tables,
  math = math,
  coroutine = coroutines,
  os = { clock = raw.clock },
  cjson = {},
  cmsgpack = {
    pack = raw.msgpack_pack,
    unpack = raw.msgpack_unpack,
    unpack_one = raw.msgpack_unpack_one,
    unpack_limit = raw.msgpack_unpack_limit,
    _NAME = 'cmsgpack',
    _VERSION = 'lua-cmsgpack 0.4.0',
    _COPYRIGHT = 'Copyright (C) 2012, Redis Ltd.',
    _DESCRIPTION = 'MessagePack C implementation for Lua',
  },
  struct = {
    pack = raw.struct_pack,
    unpack = raw.struct_unpack,
    size = raw.struct_size,
  },
  bit = {},
}
for name, f in native_pairs(raw.bit) do libraries.bit[name] = f end

local function cjson_module()
  local module = {
    encode = raw.json_encode,
    decode = raw.json_decode,
    null = raw.json_null,
    _NAME = 'cjson',
    _VERSION = '2.1.0',
  }
  for name, f in native_pairs(raw.json_settings) do module[name] = f end
  return module
end
libraries.cjson = cjson_module()
libraries.cjson.new = function() return cjson_module() end

getmetatable('').__metatable = no_metatable

local function load_text(text, name)
  if type(text) == 'string' and substring(text, 1, 1) == '\27' then
    return nil, 'bytecode is not loaded'
  end
  local chunk, problem = loadstring(text, name)
  if chunk then setfenv(chunk, env) end
  return chunk, problem
end

local function load(reader, name)
  if type(reader) ~= 'function' then
    error("bad argument #1 to 'load' (function expected, got " .. (reader == nil and 'no value' or type(reader)) .. ')', 2)
  end
  local parts = {}
  while true do
    local part = reader()
    if part == nil or part == '' then break end
    if type(part) ~= 'string' then
      return nil, 'reader function must return a string'
    end
    parts[#parts + 1] = part
  end
  return load_text(concat(parts), name or '=(load)')
end

local base = copy(globals, 'tostring', 'getfenv', 'assert', 'tonumber', 'rawequal', 'getmetatable', 'type',
  'select', 'unpack', 'gcinfo', 'ipairs', '_VERSION', 'error')
-- Without a metatable, which could hold a finalizer: that would run in the middle of anything.
base.newproxy = function() return newproxy(false) end
-- The contents of a protected table are seen, but never handed out.
base.next = function(t, key)
  if type(t) ~= 'table' then
    error("bad argument #1 to 'next' (table expected, got " .. type(t) .. ')', 2)
  end
  return next(protected[t] or t, key)
end
base.pairs = function(t)
  if type(t) ~= 'table' then
    error("bad argument #1 to 'pairs' (table expected, got " .. type(t) .. ')', 2)
  end
  if protected[t] then return base.next, t, nil end
  return native_pairs(t)
end
base.rawget = function(t, key)
  if type(t) ~= 'table' then
    error("bad argument #1 to 'rawget' (table expected, got " .. type(t) .. ')', 2)
  end
  return rawget(protected[t] or t, key)
end
base.pcall = pcall
base.xpcall = xpcall
base.load = load
base.loadstring = load_text
base.setfenv = function(f, new)
  if f == 0 then error(READONLY, 2) end
  return setfenv(type(f) == 'number' and f + 1 or f, new)
end
base.setmetatable = function(t, metatable)
  if protected[t] then error(READONLY, 2) end
  return setmetatable(t, metatable)
end
base.rawset = function(t, ...)
  if protected[t] then error(READONLY, 2) end
  return rawset(t, ...)
end
base.collectgarbage = function(option, argument)
  if option == nil or option == 'collect' or option == 'count' or option == 'step' then
    return collectgarbage(option, argument)
  end
  return 0
end
for name, contents in native_pairs(libraries) do base[name] = protect(contents) end
base._G = env

local function scope(extra)
  local names = {}
  for name, value in native_pairs(base) do names[name] = value end
  for name, value in native_pairs(extra) do names[name] = value end
  return setmetatable(names, { __index = missing })
end

local eval_face, server_face = protect(eval_server), protect(server)

local eval_names = scope { redis = eval_face, server = eval_face, __redis__err__handler = raw.explain, __server__err__handler = raw.explain }
local function_names = scope { redis = server_face, server = server_face }

local loading = {}
for name, value in native_pairs(common) do loading[name] = value end
loading.register_function = raw.register_function
setmetatable(loading, { __index = missing })
local loading_face = protect(loading)
local loading_names = setmetatable({ redis = loading_face, server = loading_face }, { __index = missing })

-- The environment of libraries: what they find depends on whether they are being loaded.
local library_env = {}
local library_metatable = { __index = function_names, __newindex = refuse, __metatable = no_metatable }
protected[library_env] = function_names
setmetatable(library_env, library_metatable)
function_names._G = library_env

local explain = raw.explain

local function register(f)
  library_metatable.__index = loading_names
  local ok, failure = native_xpcall(f, explain)
  library_metatable.__index = function_names
  return ok, failure
end

protect(eval_names, env)

return explain, register, eval_names, library_env, eval_server, eval_face
