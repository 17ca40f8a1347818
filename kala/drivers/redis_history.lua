-- The history, for `redis.lua`, which names the keys: pages of it, and removing. No call looks at more than it is told.

local EXAMINED = 8388608 -- bytes of rows that are looked at in one call
local FREED = 67108864 -- bytes of outputs that are dropped in one call
local STATES = {
  'succeeded', 'failed', 'timed_out', 'cancelled', 'lost', 'skipped', 'missed', 'waiting', 'claimed', 'running',
}

function calls.run(id) return call('HGET', RUNS, id) end

function calls.rows(ids) return call('HMGET', RUNS, unpack(ids)) end

function calls.output(run) return call('HGETALL', output_key(run)) end

local function columns(row)
  local ran, state, scheduled, at, length, rest = string.match(row, '^([01]) (%S+) (%-?%d+) (%-?%d+) (%d+):()')
  if ran then return ran, state, scheduled, at, string.sub(row, rest, rest + length - 1) end
end

-- Whether one moment is before another, also where doubles cannot tell them apart, which is beyond the year 2255.
local function before(one, other)
  if tonumber(one) ~= tonumber(other) then return tonumber(one) < tonumber(other) end
  return #one < #other or #one == #other and one < other
end

local function matches(row, query)
  local _, state, scheduled, _, job = columns(row)
  return state and (not query.job or job == query.job) and (not query.states or query.states[state])
    and (not query.since or not before(scheduled, query.since)) and (not query.till or before(scheduled, query.till))
end

-- The next id and seq of an arm, the highest first; `ahead` are read at once.
local function peek(arm, ahead)
  if arm.place > #arm.rows and not arm.over then
    arm.rows = call('ZREVRANGEBYSCORE', arm.key, arm.below, '-inf', 'WITHSCORES', 'LIMIT', 0, ahead)
    arm.place, arm.over = 1, #arm.rows < 2 * ahead
    if #arm.rows > 0 then arm.below = '(' .. arm.rows[#arm.rows] end
  end
  return tonumber(arm.rows[arm.place + 1])
end

-- Up to `most` rows are looked at, the latest first, in the order of several zsets by seq, from below `after` on.
-- Answers how many were, from where to go on ('' when these were all), and id, seq and row of those that match.
function calls.page(keys, after, query, limit, most)
  local arms, found, size, reached = {}, {}, 0, ''
  for place, key in ipairs(keys) do
    arms[place] = {key = key, rows = {}, place = 1, below = after and '(' .. after or '+inf'}
  end
  for looked = 1, most do
    local latest, seq
    for _, arm in ipairs(arms) do
      local number = peek(arm, math.min(limit, 200))
      if number and (not seq or number > seq) then latest, seq = arm, number end
    end
    if not latest then return {looked - 1, '', found} end
    local id = latest.rows[latest.place]
    reached = latest.rows[latest.place + 1]
    latest.place = latest.place + 2
    local row = call('HGET', RUNS, id)
    if row then
      size = size + #row
      if matches(row, query) then
        found[#found + 1], found[#found + 2], found[#found + 3] = id, reached, row
      end
    end
    if #found >= 3 * limit or size > EXAMINED then return {looked, reached, found} end
  end
  return {most, reached, found}
end

-- How many rows were scheduled in a span, or a few more.
function calls.count(since, till) return call('ZCOUNT', SCHEDULED, since or '-inf', till or '+inf') end

-- Ids and seqs of what matches and is below `after`, of `most` rows in the order of their moments, from behind the
-- place (score and id) on. Answers the place that was reached as well; none: these were all.
function calls.span(place, after, query, most)
  local start
  if place then
    local rank = call('ZRANK', SCHEDULED, place[2])
    -- Who is pruned meanwhile is not found again: some rows are met twice then, which harms nothing.
    start = rank and rank + 1 or call('ZCOUNT', SCHEDULED, '-inf', '(' .. place[1])
  else
    start = query.since and call('ZCOUNT', SCHEDULED, '-inf', '(' .. query.since) or 0
  end
  local found, size = {}, 0
  local rows = call('ZRANGE', SCHEDULED, start, start + most - 1, 'WITHSCORES')
  for at = 1, #rows, 2 do
    local id, score = rows[at], rows[at + 1]
    if query.till and tonumber(score) > tonumber(query.till) then return {found} end
    local seq, row = call('ZSCORE', ALL, id), call('HGET', RUNS, id)
    if seq and row then
      size = size + #row
      if (not after or tonumber(seq) < tonumber(after)) and matches(row, query) then
        found[#found + 1], found[#found + 2] = id, seq
      end
    end
    if size > EXAMINED then return {found, score, id} end
  end
  if #rows < 2 * most then return {found} end
  return {found, rows[#rows], rows[#rows - 1]}
end

-- Removing. Nothing here is refused by a full server: it makes room.

local function drop(run, attempt)
  local key = output_key(run)
  local size = call('HSTRLEN', key, attempt)
  call('ZREM', OUTPUTS, attempt .. ':' .. run)
  call('HDEL', key, attempt, attempt .. ':size')
  return size
end

-- Remove a row, found in the zset `from`, and its outputs. 1, or 0 when somebody's hand has left only its name there.
local function remove(id, from)
  local dropped = 0
  local row = call('HGET', RUNS, id)
  local ran, state, _, _, job = columns(row or '')
  local known = call('ZREM', ALL, id)
  call('ZREM', from, id)
  call('ZREM', SCHEDULED, id)
  call('ZREM', AT, id)
  for _, one in ipairs(state and {state} or STATES) do call('ZREM', state_key(one), id) end
  if ran then call('ZREM', job_key(ran, job), id) end
  call('HDEL', RUNS, id)
  for _, field in ipairs(call('HKEYS', output_key(id))) do
    if string.find(field, '^%d+$') then dropped = dropped + drop(id, field) end
  end
  if dropped > 0 then call('HINCRBY', META, 'outputs', -dropped) end
  return known
end

-- Of each job, up to `most` rows in all of what is beyond its latest `keep`, of runs and of ranges. Answers how many
-- went, and of how many jobs nothing is left to remove.
function calls.prune(jobs, keep, most)
  local removed, looked = 0, 0
  for place, job in ipairs(jobs) do
    for _, ran in ipairs({'0', '1'}) do
      local key = job_key(ran, job)
      local beyond = call('ZCARD', key) - keep
      if beyond > 0 then
        if looked >= most then return {removed, place - 1} end
        local ids = call('ZRANGE', key, 0, math.min(beyond, most - looked) - 1)
        for _, id in ipairs(ids) do removed = removed + remove(id, key) end
        looked = looked + #ids
        if #ids < beyond then return {removed, place - 1} end
      end
    end
  end
  return {removed, #jobs}
end

-- Up to `most` of the rows whose `at` is before a moment. Answers how many went, and whether more may be left.
function calls.prune_older(moment, most)
  local removed, ids = 0, call('ZRANGEBYSCORE', AT, '-inf', '(' .. moment, 'LIMIT', 0, most)
  for _, id in ipairs(ids) do removed = removed + remove(id, AT) end
  return {removed, #ids == most and 1 or 0}
end

-- Drop up to `most` outputs, the first appended first, while there are more than `limit` bytes. Answers how many bytes
-- went, and whether more are to go.
function calls.trim(limit, most)
  local total, dropped = counter('outputs'), 0
  if total <= limit then return {0, 0} end
  local names = call('ZRANGE', OUTPUTS, 0, most - 1)
  if #names == 0 then -- somebody's hand has removed them
    call('HSET', META, 'outputs', 0)
    return {0, 0}
  end
  for _, name in ipairs(names) do
    if total - dropped <= limit or dropped > FREED then break end
    local colon = string.find(name, ':', 1, true)
    dropped = dropped + drop(string.sub(name, colon + 1), string.sub(name, 1, colon - 1))
  end
  call('HINCRBY', META, 'outputs', -dropped)
  return {dropped, total - dropped > limit and 1 or 0}
end
