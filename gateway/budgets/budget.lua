-- Reserve, share, settle, extend, lease, restore and look over several limits in one atomic step.
-- The twin of oracle.Oracle and window.Account in Python, which say what all of it means and are compared with it.
--
-- KEYS     reserve, look, restore: the limits. settle, extend: the record, then the limits that hold. lease: limit and record in turn.
--          share: the whole, the asker's account, unmet wishes, accounts of the other members. withdraw: unmet wishes,
--          the asker's account. All have one hash tag, the tenant or what is shared, so they are in one slot.
-- ARGV[1]  the operation
-- ARGV[2]  whole numbers as doubles, little-endian: now in unix ms (0 = this server's clock, the same for all workers),
--          how long holds live in ms, how long a record lives in ms; and then for each limit: shape (0 sliding,
--          1 bucket, 2 day, 3 month, 4 running), span in ms, amount, 1 if soft, 1 if charged at once, and
--          reserve: ask, least. settle, extend: held, until, used. lease: held, until, charged, used, keep, want, share.
--          share: ask, least, of the whole and of the asker's; then the asker's weight, what it is assured of, what is not
--          lent, for how long an unmet wish counts at most, and beyond the share, and the slots by which it ends; then
--          weight and assured part of each other member.
--          withdraw: how much. look: nothing. restore: how many slots, and of each its number and what records say was used in it.
-- returns  doubles too: 1 if done (0: does not fit, or was settled before), and for each limit granted, used, held,
--          reset in ms, retry after in ms (-1: never), slot in which the grant ends. A share that is refused has in place
--          of what the asker was granted by how much its unmet wish grew.
--
-- A limit is a hash of at most 1 + 61 + 123 fields: `s` its state (its own time, that time's offset to the clock, used,
-- held, the latest period or what a bucket has leaked of a unit, end of that period), `u<slot>` and `h<slot>` the parts
-- of used and held. It ends when time alone would have emptied it. Amounts are below 10^13 (model.MOST): sums are
-- exact in a double, and as decimal numbers of 14 digits.
--
-- What is usual is done at once: limits that were used a moment ago, and what is asked for fits. All else is done by
-- `general`, whose functions are made only then: making them costs as much as the work.

local call, spread, pack = redis.call, struct.unpack, struct.pack
local HOLD_SLOT, SLOTS, STATE = 5000, 60, '<dddddd'
local SLIDING, BUCKET, DAY, MONTH, RUNNING = 0, 1, 2, 3, 4

local op, blob = ARGV[1], ARGV[2]
local N = { spread('<' .. string.rep('d', #blob / 8), blob) }
local now, ttl = N[1], N[2]
if now == 0 then
  local time = call('TIME')
  now = time[1] * 1000 + (time[2] - time[2] % 1000) / 1000
end
local hold_slot = (now - now % HOLD_SLOT) / HOLD_SLOT

-- The state of a limit in which nothing but the time of a bucket has to be brought forward; nil otherwise.
local function current(key, shape, span, amount)
  local state = call('HGET', key, 's')
  if not state then return nil end
  local at, offset, used, held, x, ends = spread(STATE, state)
  if offset ~= 0 or at > now or at < hold_slot * HOLD_SLOT then return nil end
  if shape == SLIDING then
    local slot_ms = math.ceil(span / SLOTS)
    local slot = (now - now % slot_ms) / slot_ms
    if at < slot * slot_ms then return nil end
    return used, held, x, ends, slot, (slot + math.ceil(span / slot_ms) + 1) * slot_ms - now
  elseif shape == BUCKET then
    local elapsed = now - at
    if elapsed >= span then return nil end
    local total = elapsed * amount + x
    x = total % span
    used = used - (total - x) / span
    if used <= 0 then used, x = 0, 0 end
    return used, held, x, ends, 0, 0
  elseif shape == RUNNING then
    return used, held, x, ends, 0, 0
  end
  if now >= ends then return nil end
  return used, held, x, ends, x, ends - now
end

local function reset_after(shape, span, amount, used, reset)
  if used == 0 then return 0 end
  if shape == BUCKET then return math.ceil(used * span / amount) end
  return reset
end

local function usual_reserve()
  local ending = (now + ttl - (now + ttl) % HOLD_SLOT) / HOLD_SLOT + 1
  local states, limits = {}, #KEYS
  if op == 'share' then
    if call('EXISTS', KEYS[3]) == 1 then return nil end
    limits = 2
  end
  for i = 1, limits do
    local key, p = KEYS[i], 4 + 7 * (i - 1)
    local used, held, x, ends, slot, reset = current(key, N[p], N[p + 1], N[p + 2])
    if not used then return nil end
    local offer, room = N[p + 5], N[p + 2] - used - held
    if N[p + 3] == 0 and offer > room then return nil end
    if N[p + 4] == 1 then used = used + offer else held = held + offer end
    local t = 6 * (i - 1)
    states[t + 1], states[t + 2], states[t + 3], states[t + 4], states[t + 5] = used, held, x, ends, slot
    states[t + 6] = reset
  end
  if op == 'share' and states[7] + states[8] > N[19] and states[1] + states[2] > N[6] - N[20] then return nil end
  local answer = { 1 }
  for i = 1, limits do
    local key, p, t = KEYS[i], 4 + 7 * (i - 1), 6 * (i - 1)
    local used, held, ask, shape = states[t + 1], states[t + 2], N[p + 5], N[p]
    local until_slot = 0
    call('HSET', key, 's', pack(STATE, now, 0, used, held, states[t + 3], states[t + 4]))
    if N[p + 4] == 0 then
      until_slot = ending
      call('HINCRBY', key, 'h' .. ending, ask)
    elseif shape ~= BUCKET then
      call('HINCRBY', key, 'u' .. states[t + 5], ask)
    end
    local a = 6 * (i - 1) + 1
    answer[a + 1], answer[a + 2], answer[a + 3] = ask, used, held
    answer[a + 4] = reset_after(shape, N[p + 1], N[p + 2], used, states[t + 6])
    answer[a + 5], answer[a + 6] = 0, until_slot
  end
  return answer
end

local function usual_settle()
  if call('EXISTS', KEYS[1]) == 1 then return nil end
  local states = {}
  for i = 2, #KEYS do
    local p, t = 4 + 8 * (i - 2), 6 * (i - 2)
    if N[p + 6] <= hold_slot then return nil end
    local used, held, x, ends, slot, reset = current(KEYS[i], N[p], N[p + 1], N[p + 2])
    if not used then return nil end
    states[t + 1], states[t + 2], states[t + 3], states[t + 4], states[t + 5] = used, held, x, ends, slot
    states[t + 6] = reset
  end
  local answer = { 1 }
  for i = 2, #KEYS do
    local key, p, t = KEYS[i], 4 + 8 * (i - 2), 6 * (i - 2)
    local shape, free, charge, used, held = N[p], N[p + 5], N[p + 7], states[t + 1], states[t + 2]
    local left = call('HINCRBY', key, 'h' .. N[p + 6], -free)
    if left < 0 then -- lost with the server's memory: what is not there cannot be given back
      free = free + left
      call('HSET', key, 'h' .. N[p + 6], 0)
    end
    held = held - free
    if shape ~= RUNNING and charge > 0 then
      used = used + charge
      if shape ~= BUCKET then call('HINCRBY', key, 'u' .. states[t + 5], charge) end
    end
    call('HSET', key, 's', pack(STATE, now, 0, used, held, states[t + 3], states[t + 4]))
    local a = 6 * (i - 2) + 1
    answer[a + 1], answer[a + 2], answer[a + 3] = 0, used, held
    answer[a + 4] = reset_after(shape, N[p + 1], N[p + 2], used, states[t + 6])
    answer[a + 5], answer[a + 6] = 0, 0
  end
  call('SET', KEYS[1], 'settled', 'PX', N[3])
  return answer
end

local function general()
  local BACK, BUSY, NEVER, GRACE, DAY_MS = 2, 1000, -1, 2000, 86400000
  local ceil, min, max = math.ceil, math.min, math.max

  -- floor(a / b) for whole numbers: the quotient alone may round up to the next whole number.
  local function div(a, b)
    return (a - a % b) / b
  end

  local function month_of(day)
    local shifted = day + 719468
    local era, of_era = div(shifted, 146097), shifted % 146097
    local year = div(of_era - div(of_era, 1460) + div(of_era, 36524) - div(of_era, 146096), 365)
    local of_year = of_era - (365 * year + div(year, 4) - div(year, 100))
    return (era * 400 + year) * 12 + div(5 * of_year + 2, 153) + 2
  end

  local function first_day(month)
    local years = div(month - 2, 12)
    local era, year = div(years, 400), years % 400
    local of_year = div(153 * ((month - 2) % 12) + 2, 5)
    return era * 146097 + 365 * year + div(year, 4) - div(year, 100) + of_year - 719468
  end

  local function number(text, key)
    if not text then return 0 end
    return tonumber(text) or error('not a budget: ' .. key)
  end

  -- Sums the slots first..last of one letter, and marks them to be deleted when the limit is saved.
  local function forget(limit, letter, first, last)
    if first > last then return 0 end
    local names, sum = {}, 0
    for slot = first, last do names[#names + 1] = letter .. slot end
    for i, text in ipairs(call('HMGET', limit.key, unpack(names))) do
      if text then
        sum = sum + number(text, limit.key)
        limit.drop[#limit.drop + 1] = names[i]
      end
    end
    return sum
  end

  local function leak(limit, elapsed)
    local part = elapsed % limit.span
    local total = part * limit.amount + limit.x
    limit.x = total % limit.span
    limit.used = limit.used - div(elapsed, limit.span) * limit.amount - div(total, limit.span)
    if limit.used <= 0 then limit.used, limit.x = 0, 0 end
  end

  -- Reads a limit and forgets what time has passed. `old` is the slot of a hold that will be freed, 0 if none.
  local function load(key, p, old)
    local shape, span, amount = N[p], N[p + 1], N[p + 2]
    local limit = {
      key = key, shape = shape, span = span, amount = amount, soft = N[p + 3] == 1, once = N[p + 4] == 1,
      drop = {}, set = {}, x = 0, ends = 0, used = 0, held = 0, slot = 0, slot_ms = 1, slots = 0, old = old,
    }
    local before, offset, newest = now, 0, nil
    local state = call('HGET', key, 's')
    if state then
      before, offset, limit.used, limit.held, limit.x, limit.ends = spread(STATE, state)
      newest = limit.x
    end
    limit.at = max(now + offset, before)
    limit.offset = limit.at - now
    limit.shifted = limit.offset ~= offset
    local was, is = div(before, HOLD_SLOT), div(limit.at, HOLD_SLOT)
    limit.stale = not state or is > was
    limit.crossed = state and is > was
    -- Holds end at most 122 slots after they began; what lies further ahead cannot be there.
    limit.held = limit.held - forget(limit, 'h', was + 1, min(is, was + 122))
    limit.ending = div(limit.at + ttl, HOLD_SLOT) + 1
    if shape == SLIDING then
      limit.slot_ms = ceil(span / SLOTS)
      limit.slots = ceil(span / limit.slot_ms)
      limit.slot = div(limit.at, limit.slot_ms)
      limit.crossed = limit.crossed or (state and limit.slot > div(before, limit.slot_ms))
      local first = div(before, limit.slot_ms) - limit.slots
      limit.used = limit.used - forget(limit, 'u', first, min(first + limit.slots, limit.slot - limit.slots - 1))
    elseif shape == BUCKET then
      leak(limit, limit.at - before)
    elseif shape ~= RUNNING then
      local day = div(now, DAY_MS)
      local period = shape == DAY and day or month_of(day)
      newest = newest or period
      limit.x = max(newest, period)
      limit.slot = max(period, limit.x - BACK)
      forget(limit, 'u', newest - BACK, min(newest, limit.x - BACK - 1))
      limit.ends = (shape == DAY and day + 1 or first_day(month_of(day) + 1)) * DAY_MS
    end
    local got = call('HMGET', key, 'u' .. limit.slot, 'h' .. limit.ending, 'h' .. old)
    limit.present, limit.next_hold = number(got[1], key), number(got[2], key)
    limit.old_hold = old > is and number(got[3], key) or 0
    if shape == DAY or shape == MONTH then limit.used = limit.present end
    return limit
  end

  local function room(limit)
    return limit.amount - limit.used - limit.held
  end

  local function charge(limit, amount)
    if limit.shape == RUNNING or amount == 0 then return end
    limit.used = limit.used + amount
    if limit.shape ~= BUCKET then
      limit.present = limit.present + amount
      limit.set['u' .. limit.slot] = limit.present
    end
  end

  -- Never more than what was charged in the present slot: an older slot is forgotten as it was.
  local function refund(limit, amount)
    charge(limit, -min(amount, limit.shape == BUCKET and limit.used or limit.present))
  end

  local function free(limit, amount)
    local given = min(amount, limit.old_hold)
    if limit.old_hold > 0 then
      limit.held = limit.held - given
      limit.old_hold = limit.old_hold - given
      limit.set['h' .. limit.old] = limit.old_hold
      if limit.old == limit.ending then limit.next_hold = limit.old_hold end
    end
  end

  local function hold(limit, amount)
    limit.held = limit.held + amount
    limit.next_hold = limit.next_hold + amount
    limit.set['h' .. limit.ending] = limit.next_hold
    return limit.ending
  end

  local function life_ms(limit)
    -- Somebody else's hold may be longer than what this call holds: 600 s is the longest.
    local life = 600000 + 2 * HOLD_SLOT
    if limit.shape == SLIDING then
      return max(life, limit.span + 2 * limit.slot_ms + HOLD_SLOT)
    elseif limit.shape == BUCKET then
      return max(life, limit.span * (ceil(limit.used / limit.amount) + 1) + HOLD_SLOT)
    elseif limit.shape == RUNNING then
      return life
    end
    return (limit.shape == DAY and 1 or 31) * (BACK + 1) * DAY_MS
  end

  local function save(limit)
    -- The end of a period is of use only to one whose present period is the latest.
    local ends = limit.slot == limit.x and limit.ends or 0
    local words = { 's', pack(STATE, limit.at, limit.offset, limit.used, limit.held, limit.x, ends) }
    for name, value in pairs(limit.set) do
      words[#words + 1] = name
      words[#words + 1] = value
    end
    if #limit.drop > 0 then call('HDEL', limit.key, unpack(limit.drop)) end
    call('HSET', limit.key, unpack(words))
    -- Once in a hold slot is enough: the life has two to spare.
    if limit.stale then call('PEXPIRE', limit.key, life_ms(limit)) end
  end

  local function reset_ms(limit)
    if limit.used == 0 then return 0 end
    if limit.shape == SLIDING then return (limit.slot + limit.slots + 1) * limit.slot_ms - limit.at end
    if limit.shape == BUCKET then return ceil(limit.used * limit.span / limit.amount) end
    return limit.ends - now
  end

  local function wait_ms(limit, need)
    if need <= limit.held or limit.shape == RUNNING then return BUSY end
    need = need - limit.held
    if limit.shape == BUCKET then return ceil((need * limit.span - limit.x) / limit.amount) end
    if limit.shape ~= SLIDING then return limit.ends - now end
    local names = {}
    for slot = limit.slot - limit.slots, limit.slot do names[#names + 1] = 'u' .. slot end
    for i, text in ipairs(call('HMGET', limit.key, unpack(names))) do
      need = need - number(text, limit.key)
      if need <= 0 then return (limit.slot + i) * limit.slot_ms - limit.at end
    end
    return BUSY
  end

  local function retry_ms(limit, least)
    if least > limit.amount then return NEVER end
    return wait_ms(limit, least - room(limit))
  end

  local answer = {}
  local function tell(limit, granted, ending, lacking)
    local a = #answer
    answer[a + 1], answer[a + 2], answer[a + 3] = granted, limit.used, limit.held
    answer[a + 4], answer[a + 5], answer[a + 6] = reset_ms(limit), lacking and retry_ms(limit, lacking) or 0, ending
  end

  local function reserve()
    local limits, fits = {}, true
    for i, key in ipairs(KEYS) do
      local p = 4 + 7 * (i - 1)
      local limit = load(key, p, 0)
      local ask, least = N[p + 5], N[p + 6]
      limit.offer = limit.soft and ask or min(ask, max(room(limit), 0))
      if limit.offer < least then
        limit.lacking, fits = least, false
      end
      limits[i] = limit
    end
    answer[1] = fits and 1 or 0
    for _, limit in ipairs(limits) do
      local granted, ending = 0, 0
      if fits then
        granted = limit.offer
        if limit.once then charge(limit, granted) else ending = hold(limit, granted) end
        save(limit)
      elseif limit.shifted then
        save(limit) -- else the limit's time would stand still until the clock has caught up
      end
      tell(limit, granted, ending, limit.lacking)
    end
  end

  -- An unmet wish: the whole's time at the last refusal, and turns in which parts of it end, each with how much. `turn`:
  -- what has ended by then is left out.
  local function unmet(key, text, turn)
    if not text then return 0, 0, {} end
    if #text % 16 ~= 8 then error('not a budget: ' .. key) end
    local words, parts, sum = { spread('<' .. string.rep('d', #text / 8), text) }, {}, 0
    for at = 2, #text / 8, 2 do
      if words[at] > turn then
        parts[#parts + 1] = { words[at], words[at + 1] }
        sum = sum + words[at + 1]
      end
    end
    return sum, words[1], parts
  end

  local function set_unmet(key, member, since, parts, life)
    local words = { since }
    table.sort(parts, function(one, other) return one[1] < other[1] end)
    for _, part in ipairs(parts) do
      if part[2] > 0 then words[#words + 1], words[#words + 2] = part[1], part[2] end
    end
    if #words > 1 then
      call('HSET', key, member, pack('<' .. string.rep('d', #words), unpack(words)))
      call('PEXPIRE', key, life)
    else
      call('HDEL', key, member)
    end
  end

  local function met(parts, amount, first, last, step)
    for at = first, last, step do
      local part = parts[at]
      local got = min(part[2], amount)
      part[2], amount = part[2] - got, amount - got
    end
  end

  -- What has to stay free for others: when the asker stays within its share, and when it borrows.
  local function reserved(wishes, has, at)
    local within, borrowing, weight, lent, turn = 0, 0, N[18], N[22], div(at, N[23])
    for i = 4, #KEYS do
      local wants, since = unmet(KEYS[3], wishes[i - 2], turn)
      local p = 24 + 2 * (i - 4)
      if wants > 0 then
        local used, held = current(KEYS[i], N[11], N[12], N[13])
        if not used then
          -- Once in a slot each is brought forward, so that all who are refused in it need not.
          local other = load(KEYS[i], 11, 0)
          if other.crossed then save(other) end
          used, held = other.used, other.held
        end
        local theirs = used + held
        local due = N[p + 1] - theirs
        if at - since >= lent then wants = min(wants, max(due, 0)) end
        local level = div(has * N[p], weight) - theirs
        within = within + max(min(wants, level), 0)
        borrowing = borrowing + max(min(wants, max(level, due)), 0)
      end
    end
    return within, borrowing
  end

  local function share()
    local whole, own = load(KEYS[1], 4, 0), load(KEYS[2], 11, 0)
    local ask, least, assured, spare, life = N[9], N[10], N[19], N[20], N[21]
    local has, mine, since, parts = own.used + own.held, 0, 0, {}
    local left, free_now, lendable = assured - has, room(whole), room(whole) - spare
    if call('EXISTS', KEYS[3]) == 1 then
      if max(min(left, free_now), lendable) < least then
        -- It does not fit whoever waits, so they are not asked: that is what most refusals are.
        mine, since, parts = unmet(KEYS[3], call('HGET', KEYS[3], KEYS[2]), div(whole.at, N[23]))
      else
        local wishes = call('HMGET', KEYS[3], KEYS[2], unpack(KEYS, 4))
        local within, borrowing = reserved(wishes, has, whole.at)
        free_now, lendable = free_now - within, lendable - borrowing
        mine, since, parts = unmet(KEYS[3], wishes[1], div(whole.at, N[23]))
      end
    end
    local offer = min(ask, max(min(left, free_now), lendable, 0))
    if offer < least then
      local wait, added = NEVER, 0
      if least <= max(assured, whole.amount - spare) then
        wait = wait_ms(whole, least - (least <= left and free_now or lendable))
        added = min(ask, whole.amount - mine)
        local ends, known = div(whole.at + min(wait + div(wait, 4) + GRACE, life), N[23]) + 1, false
        for _, part in ipairs(parts) do
          if part[1] == ends then part[2], known = part[2] + added, true end
        end
        if not known then parts[#parts + 1] = { ends, added } end
        set_unmet(KEYS[3], KEYS[2], whole.at, parts, life)
      end
      if whole.shifted then save(whole) end
      if own.shifted then save(own) end
      answer[1] = 0
      tell(whole, 0, 0)
      answer[6] = wait
      tell(own, added, 0)
      return
    end
    answer[1] = 1
    for _, limit in ipairs({ whole, own }) do
      local ending = 0
      if limit.once then charge(limit, offer) else ending = hold(limit, offer) end
      save(limit)
      tell(limit, offer, ending)
    end
    if mine > 0 then
      met(parts, offer, 1, #parts, 1)
      set_unmet(KEYS[3], KEYS[2], since, parts, life)
    end
  end

  -- What was refused here is not wanted: something else refused the exchange.
  local function withdraw()
    local mine, since, parts = unmet(KEYS[1], call('HGET', KEYS[1], KEYS[2]), 0)
    if mine > 0 then
      met(parts, N[4], #parts, 1, -1)
      set_unmet(KEYS[1], KEYS[2], since, parts, N[3])
    end
    answer[1] = 1
  end

  -- What a record says: charged, held and until of each limit; false where there is none.
  local function recall(key)
    local text = call('GET', key)
    if not text or text == 'settled' then return text end
    return { spread('<' .. string.rep('d', #text / 8), text) }
  end

  local function settle(extending)
    local known = recall(KEYS[1])
    answer[1] = 1
    if known == 'settled' then
      answer[1] = 0
      return
    end
    local limits, after = {}, {}
    for i = 2, #KEYS do
      local p, was = 4 + 8 * (i - 2), 3 * (i - 2)
      local charged, held, until_slot = 0, N[p + 5], N[p + 6]
      if known then charged, held, until_slot = known[was + 1], known[was + 2], known[was + 3] end
      local limit = load(KEYS[i], p, until_slot)
      limit.charged, limit.mine, limit.total = charged, held, N[p + 7]
      limits[#limits + 1] = limit
    end
    for _, limit in ipairs(limits) do
      local total, left, ending = max(limit.total, limit.charged), 0, 0
      free(limit, limit.mine)
      if limit.total < 0 then refund(limit, -limit.total) end
      charge(limit, total - limit.charged)
      if extending then
        left = max(limit.charged + limit.mine - total, 0)
        ending = hold(limit, left)
      end
      save(limit)
      after[#after + 1], after[#after + 2], after[#after + 3] = total, left, ending
      tell(limit, left, ending)
    end
    local record = extending and pack('<' .. string.rep('d', #after), unpack(after)) or 'settled'
    call('SET', KEYS[1], record, 'PX', N[3])
  end

  local function lease()
    answer[1] = 1
    for i = 1, #KEYS, 2 do
      local p = 4 + 6 * (i - 1)
      local held, until_slot, charged = N[p + 5], N[p + 6], N[p + 7]
      local known = recall(KEYS[i + 1])
      if known then charged, held, until_slot = known[1], known[2], known[3] end
      local limit = load(KEYS[i], p, until_slot)
      local used, keep, want, share = max(N[p + 8], charged), N[p + 9], N[p + 10], N[p + 11]
      free(limit, held)
      charge(limit, used - charged)
      if not limit.soft then want = min(want, div(max(room(limit) - keep, 0), share)) end
      local granted = keep + want
      local ending = hold(limit, granted)
      save(limit)
      call('SET', KEYS[i + 1], pack('<ddd', used, granted, ending), 'PX', N[3])
      tell(limit, granted, ending)
    end
  end

  local function restore()
    answer[1] = 1
    local p = 4
    for _, key in ipairs(KEYS) do
      local limit, count = load(key, p, 0), N[p + 5]
      local first = limit.shape == SLIDING and limit.slot - limit.slots or limit.slot
      local names, told, lacking, restored = {}, {}, -limit.used, 0
      for at = p + 6, p + 4 + 2 * count, 2 do
        local slot, amount = N[at], N[at + 1]
        if slot >= first and slot <= limit.slot then
          names[#names + 1], told[#told + 1] = 'u' .. slot, amount
          lacking = lacking + amount
        end
      end
      if lacking > 0 then
        for i, text in ipairs(call('HMGET', key, unpack(names))) do
          local there = number(text, key)
          local missing = max(min(told[i] - there, lacking - restored), 0)
          limit.set[names[i]], restored = there + missing, restored + missing
        end
        limit.used = limit.used + restored
      end
      if restored > 0 or limit.shifted then save(limit) end
      tell(limit, restored, 0)
      p = p + 6 + 2 * count
    end
  end

  -- Writes nothing.
  local function look()
    answer[1] = 1
    for i, key in ipairs(KEYS) do tell(load(key, 4 + 5 * (i - 1), 0), 0, 0) end
  end

  if op == 'reserve' then reserve()
  elseif op == 'share' then share()
  elseif op == 'withdraw' then withdraw()
  elseif op == 'look' then look()
  elseif op == 'settle' then settle(false)
  elseif op == 'extend' then settle(true)
  elseif op == 'lease' then lease()
  elseif op == 'restore' then restore()
  else error('no such operation') end
  return answer
end

local answer
if op == 'reserve' or op == 'share' then answer = usual_reserve()
elseif op == 'settle' then answer = usual_settle() end
answer = answer or general()
return pack('<' .. string.rep('d', #answer), unpack(answer))
