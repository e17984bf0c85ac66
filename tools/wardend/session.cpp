// SPDX-License-Identifier: Apache-2.0
// A session as the keeper keeps it: a JSON blob and up to six descriptors in a fixed order.
#include "tools/wardend/session.h"

#include <fcntl.h>

#include <nlohmann/json.hpp>
#include <vector>

namespace warden::daemon {

namespace {

using nlohmann::json;
constexpr std::string_view kPrefix = "session/";

SessionIdentity identity_of(const json& blob) {
  return {blob.at("id"),         blob.at("slot"), blob.at("pid"),     blob.at("uid"),     blob.at("flags"),
          blob.at("start_time"), blob.at("name"), blob.at("subject"), blob.at("own_pid"), blob.at("attach_time")};
}

}  // namespace

bool Session::is_operator() const noexcept { return (identity.flags & shm::kSessionOperator) != 0; }

std::string keeper_name_of(std::uint64_t session_id) { return std::string(kPrefix) + std::to_string(session_id); }

bool is_session_name(std::string_view keeper_name) noexcept { return keeper_name.starts_with(kPrefix); }

std::string blob_of(const Session& session) {
  const SessionIdentity& who = session.identity;
  const json blob = {{"id", who.id},
                     {"slot", who.slot},
                     {"pid", who.pid},
                     {"uid", who.user_id},
                     {"flags", who.flags},
                     {"start_time", who.start_time_ns},
                     {"name", who.name},
                     {"subject", who.subject_pid},
                     {"own_pid", who.own_pid},
                     {"attach_time", who.attach_time_ns},
                     {"wants_liveness", session.wants_liveness},
                     {"reaped", session.reaped.load()},
                     {"ended", session.ended.load()},
                     {"has_subject_pidfd", static_cast<bool>(session.subject_pidfd)},
                     {"has_notification", static_cast<bool>(session.notification)},
                     {"has_notification_peer", static_cast<bool>(session.notification_peer)},
                     {"hello_request", session.hello_request},
                     {"welcomed", session.welcomed.load()},
                     {"opened", session.opened_devices.load()}};
  return blob.dump(-1, ' ', false, json::error_handler_t::replace);
}

namespace {

Status keep_with(KeeperLink& keeper, const Session& session, int ledger_fd) {
  std::vector<int> fds = {session.socket.get(), ledger_fd, session.pidfd.get()};
  if (session.subject_pidfd) fds.push_back(session.subject_pidfd.get());
  if (session.notification) fds.push_back(session.notification.get());
  if (session.notification_peer) fds.push_back(session.notification_peer.get());
  return keeper.keep(keeper_name_of(session.identity.id), blob_of(session), fds);
}

}  // namespace

Status keep_session(KeeperLink& keeper, const Session& session) {
  return keep_with(keeper, session, session.ledger.fd());
}

Status keep_session_apart(KeeperLink& keeper, const Session& session) {
  const auto wanted = session.ledger.death_actions().read();
  if (!wanted) return std::unexpected(wanted.error());
  const auto own = shm::LedgerReader::create(session.identity.id);
  if (!own) return std::unexpected(own.error());
  auto writer = shm::LedgerWriter::open(UniqueFd(::fcntl(own->fd(), F_DUPFD_CLOEXEC, 0)), session.identity.id);
  if (!writer) return std::unexpected(std::move(writer).error());
  shm::DeathActionWriter actions(writer->start());
  for (const shm::DeathAction& action : wanted->actions) (void)actions.add(action);  // there is room for as many
  return keep_with(keeper, session, own->fd());
}

Status keep_session_blob(KeeperLink& keeper, const Session& session) {
  return keeper.keep(keeper_name_of(session.identity.id), blob_of(session));
}

Result<std::shared_ptr<Session>> restore_session(Kept kept) {
  try {
    const json blob = json::parse(kept.blob);
    auto next = kept.fds.begin();
    const auto take = [&]() -> UniqueFd { return next == kept.fds.end() ? UniqueFd() : std::move(*next++); };
    UniqueFd socket = take();
    auto ledger = shm::LedgerReader::adopt(take());
    if (!ledger) return std::unexpected(std::move(ledger).error());
    auto session = std::make_shared<Session>(identity_of(blob), std::move(*ledger));
    session->socket = std::move(socket);
    session->pidfd = take();
    if (blob.at("has_subject_pidfd")) session->subject_pidfd = take();
    if (blob.at("has_notification")) session->notification = take();
    if (blob.at("has_notification_peer")) session->notification_peer = take();
    session->hello_request = blob.at("hello_request");
    session->wants_liveness = blob.at("wants_liveness");
    session->welcomed = blob.at("welcomed").get<bool>();
    session->reaped = blob.at("reaped").get<bool>();
    session->peer_gone = session->reaped.load();
    session->ended = blob.at("ended").get<bool>();
    session->opened_devices = blob.at("opened").get<std::uint64_t>();
    return session;
  } catch (const std::exception& error) {
    return fail(Code::kProtocol, std::string("a kept session: ") + error.what());
  }
}

}  // namespace warden::daemon
