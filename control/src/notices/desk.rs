//! What clients ask of the notices.

use cib_protocol::api::{
    ChangeChannel, ChannelList, ChannelMade, ChannelTarget, CreateChannel, Delivery, DeliveryList,
    DeliveryState, Notice, NoticeEvent, PushKey, PushSubscription, PushSubscriptionList, Subscribe,
    TaskWebhook,
};
use cib_protocol::time::Timestamp;

use super::Notices;
use super::channels::check_target;
use super::outbox::{Stored, To};
use super::push::subscriptions::Owner;
use crate::auth::Caller;
use crate::auth::gate::Gate;
use crate::fault::{Code, Fault};

/// What a test says.
const TEST: &str = "This is a test. 这是一条测试消息。";

impl Notices {
    /// The channels.
    pub(crate) fn channel_list(&self) -> ChannelList {
        let channels = self.channels.all();
        ChannelList {
            channels: channels
                .iter()
                .map(super::channels::Stored::shown)
                .collect(),
            links: self.public_url.is_some(),
        }
    }

    /// Makes a channel.
    ///
    /// # Errors
    /// [`Code::BadValue`] or [`Code::TooManyChannels`].
    pub(crate) async fn create_channel(&self, asked: CreateChannel) -> Result<ChannelMade, Fault> {
        let (channel, secret) = self.channels.create(asked, &self.outside).await?;
        self.changed();
        Ok(ChannelMade {
            channel: channel.shown(),
            secret,
        })
    }

    /// Changes a channel.
    ///
    /// # Errors
    /// [`Code::BadValue`] or [`Code::NoSuchChannel`].
    pub(crate) async fn change_channel(
        &self,
        id: &str,
        asked: ChangeChannel,
    ) -> Result<cib_protocol::api::Channel, Fault> {
        let channel = self.channels.change(id, asked).await?;
        self.changed();
        Ok(channel.shown())
    }

    /// Removes a channel.
    ///
    /// # Errors
    /// [`Code::BadValue`] or [`Code::NoSuchChannel`].
    pub(crate) async fn remove_channel(&self, id: &str) -> Result<(), Fault> {
        self.channels.remove(id).await?;
        self.changed();
        Ok(())
    }

    /// Gives a webhook another secret.
    ///
    /// # Errors
    /// [`Code::BadValue`] or [`Code::NoSuchChannel`].
    pub(crate) async fn rotate_channel(&self, id: &str) -> Result<ChannelMade, Fault> {
        let (channel, secret) = self.channels.rotate(id).await?;
        Ok(ChannelMade {
            channel: channel.shown(),
            secret: Some(secret),
        })
    }

    /// Sends a test to a channel.
    ///
    /// # Errors
    /// [`Code::NoSuchChannel`], or if the disk does not take it.
    pub(crate) async fn test_channel(&self, id: &str) -> Result<Delivery, Fault> {
        if self.channels.get(id).is_none() {
            let detail = format!("there is no channel {id:?}");
            return Err(Fault::new(Code::NoSuchChannel, detail));
        }
        self.test(To::Channel(id.to_owned())).await
    }

    async fn test(&self, to: To) -> Result<Delivery, Fault> {
        let mut id = [0; 8];
        getrandom::fill(&mut id).map_err(Fault::internal)?;
        let notice = Notice {
            id: cib_base::hex::encode(&id),
            event: NoticeEvent::Finished,
            at: Timestamp::now(),
            task: None,
            session: None,
            title: "claude-in-box".to_owned(),
            text: TEST.to_owned(),
            until: None,
            question: None,
            options: Vec::new(),
        };
        let delivery = Stored::new(notice, to);
        let shown = delivery.shown();
        self.outbox.put(delivery).await.map_err(Fault::internal)?;
        Ok(shown)
    }

    /// What was told and is still to be, the newest first.
    pub(crate) fn deliveries(&self, channel: Option<&str>, limit: usize) -> DeliveryList {
        let all = self.outbox.all();
        let shown = all.iter().map(Stored::shown);
        let wanted = |one: &Delivery| channel.is_none_or(|channel| one.channel == channel);
        DeliveryList {
            deliveries: shown.filter(wanted).take(limit).collect(),
        }
    }

    /// Sends a notice once more, with the id that it had.
    ///
    /// # Errors
    /// [`Code::NoSuchDelivery`].
    pub(crate) async fn replay(&self, id: &str) -> Result<Delivery, Fault> {
        let missing = || Fault::new(Code::NoSuchDelivery, format!("there is no delivery {id:?}"));
        let mut delivery = self.outbox.get(id).ok_or_else(missing)?;
        if delivery.state != DeliveryState::Pending {
            delivery.state = DeliveryState::Pending;
            delivery.tries = 0;
        }
        delivery.next_at = Some(Timestamp::now());
        let shown = delivery.shown();
        self.outbox.put(delivery).await.map_err(Fault::internal)?;
        Ok(shown)
    }

    /// Whether a task may have this webhook.
    ///
    /// # Errors
    /// [`Code::BadValue`], with what is wrong.
    pub(crate) fn check_webhook(&self, webhook: &TaskWebhook) -> Result<(), Fault> {
        let target = ChannelTarget::Webhook {
            url: webhook.url.clone(),
            secret: webhook.secret.clone(),
        };
        check_target(&target, &self.outside).map_err(|fault| {
            let detail = format!("`webhook`: {}", fault.detail());
            Fault::new(fault.code(), detail)
        })?;
        if webhook.events.as_ref().is_some_and(Vec::is_empty) {
            let detail = "`webhook`: `events` is empty; nothing would be told";
            return Err(Fault::new(Code::BadValue, detail));
        }
        Ok(())
    }

    /// The key that browsers subscribe with.
    ///
    /// # Errors
    /// If it can be neither read nor made.
    pub(crate) async fn push_key(&self) -> Result<PushKey, Fault> {
        let vapid = self.vapid().await?;
        Ok(PushKey {
            key: vapid.public(),
        })
    }

    /// Takes a browser's subscription.
    ///
    /// # Errors
    /// [`Code::BadValue`] or [`Code::TooManyChannels`].
    pub(crate) async fn subscribe(
        &self,
        gate: &Gate,
        caller: &Caller,
        asked: Subscribe,
    ) -> Result<PushSubscription, Fault> {
        let owner = Owner::of(gate, caller);
        let sign_in = caller.sign_in.clone();
        let made = self.subscriptions.add(owner, sign_in, asked, &self.outside);
        let made = made.await?;
        self.changed();
        Ok(made.shown())
    }

    /// The caller's subscriptions.
    pub(crate) fn subscriptions_of(&self, gate: &Gate, caller: &Caller) -> PushSubscriptionList {
        let owner = Owner::of(gate, caller);
        let all = self.subscriptions.all();
        let own = all.iter().filter(|one| one.owner == owner);
        PushSubscriptionList {
            subscriptions: own.map(super::push::subscriptions::Stored::shown).collect(),
        }
    }

    /// Ends a subscription of the caller's.
    ///
    /// # Errors
    /// [`Code::NoSuchSubscription`].
    pub(crate) async fn unsubscribe(
        &self,
        gate: &Gate,
        caller: &Caller,
        id: &str,
    ) -> Result<(), Fault> {
        let owner = Owner::of(gate, caller);
        let is_it = |one: &super::push::subscriptions::Stored| one.id == id && one.owner == owner;
        if !self.subscriptions.remove(is_it).await? {
            return Err(no_such(id));
        }
        self.changed();
        Ok(())
    }

    /// Sends a test to a browser of the caller's.
    ///
    /// # Errors
    /// [`Code::NoSuchSubscription`], or if the disk does not take it.
    pub(crate) async fn test_push(
        &self,
        gate: &Gate,
        caller: &Caller,
        id: &str,
    ) -> Result<Delivery, Fault> {
        let owner = Owner::of(gate, caller);
        let known = self.subscriptions.get(id);
        if known.is_none_or(|one| one.owner != owner) {
            return Err(no_such(id));
        }
        self.test(To::Push(id.to_owned())).await
    }
}

fn no_such(id: &str) -> Fault {
    let detail = format!("there is no subscription {id:?} of the caller's");
    Fault::new(Code::NoSuchSubscription, detail)
}
